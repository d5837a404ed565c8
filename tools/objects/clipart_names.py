"""What drawings of the Open Clip Art Library are called, told by their files' names, and which show something else.

Knows English and the names of one package's files; the tables are the result of looking. Knows nothing of pictures.
"""

from furniture_names import table

# Words that say nothing of the thing.
IDLE = "a an another the my simple stylized cartoon generic etiquette drawn ii color happy angry bored funny"
# Everyday things that the library has none of.
NOUNS = """
acorn alien armadillo baseball bride bulb cage calculator camcorder cd chef daisy fedora geranium gramophone katana
kitten lasagna lighthouse lime magnolia milk modem monitor nunchaku oboe pin potato robot rocket scalpel scanner skull
sledge sombrero surfboard teddy telephone trowel turban wagon wreath plum radish muffin record
"""


# A name, or the kind that `kind_of` makes of it=the kind.
KINDS = table("""
baby bottle=bottle; ball of wool=yarn; beagle=dog; blue vacuum cleaner=vacuum cleaner; bulldog=dog; cabin=house;
camcorder=camera; candy cane=candy; cash register=cash register; computer tower=computer; corn cob=corn; corn dog=corn
dog; die=dice; diving tank=diving tank; door lock=door lock; drum kit=drum; fedora=hat; fez=hat; fire
station=building; flip-flops=sandal; game console=game console; gift box=gift; gps device=gps device; half egg=egg;
half lemon=lemon; half lime=lime; hard disk=hard disk; ice cream cone=ice cream; ice pop=ice pop; ironing
board=ironing board; jeep=car; juice box=carton; kitten=cat; leaves=leaf; lemon slice=lemon; lemon wedge=lemon; lime
slice=lime; lime wedge=lime; loaf of bread=bread; lock=padlock; music player=music player; musical note=musical note;
network switch=network switch; orange slice=orange; orange wedge=orange; paint roller=paint roller; paper plane=paper
plane; plane=airplane; plate of spaghetti=spaghetti; puppy=dog; radishes=radish; receiver=phone; record player=record
player; roast turkey=roast turkey; rollerblade=skate; rubber duck=rubber duck; scratching post=scratching post;
set-top box=set-top box; sheet of paper=paper; sledge=sled; slice of apple=apple; slice of pie=pie; slice of
pizza=pizza; sneaker=shoe; soda can=can; spirit level=spirit level; spray can=can; stack of books=book; stack of
paper=paper; telephone=phone; usb stick=usb stick; vacuum cleaner=vacuum cleaner; wastebasket=bin; work light=lamp
""")

# What the picture shows=the first words (or, with a star, letters) of its file's name, where the title is in Italian or
# French, names a make, or says it badly: looked at, every one.
NAMED = """
acoustic guitar=guitar; african drum=africandrum, djambf; airplane=aircraft_jarno; ambulance=ambulanza; angelfish=altum;
ant=formicona; anvil=blacksmith_anvil; apple tree=tree_whit; autumn leaf=fall_coloured_leaf_geral_01; autumn
tree=fall_coloured_tree; baby bottle=biberon, flower-pot; ball of wool=knitting, lana; ballpoint pen=ballpoint;
bananas=bananas; barn=fattoria; barrel=wooden_barrel; baseball cap=hat_-_clothing_nicu_bucu_02; beach bag=borsa_estiva;
beach ball=beach_ball, beachball; beagle=beagle_copper; bear=orso; bear head=bear_peterm, orso_architetto_francesc_01,
orso_architetto_francesc_04, ours; billiard ball=8ball; binoculars=binocolo; bird=bird_of_peace; birthday
cake=flat_cake, torta; bitten apple=apple_bitten; black book=paperback; blue bicycle=vtt; blue bus=bus2_jarno; blue
car=car_jamin; blue dinosaur=dino_architetto_francesc_01; blue flower=flower_01; blue folder=cartella_dossier; blue
pin=pin_-_blue; blue vacuum cleaner=blue_vacuum; blue whale=bluewhale; book=closed_book; bottle=bottled_drink; bottle of
wine=ontologia; bow saw=bowsaw; bow tie=tie; bowl of soup=bowl_of_steaming, soup; boy=kid_01; brick=mattone; brick
wall=wall; briefcase=bb_pckg; brown car=road_runner; brown hat=aussie_hat; bucket=secchio; building=building_zazou;
bulldog=bobi; bullet=projectile; butterfly=farfalla; cactus=cacuts; cake=gateau; calculator=calcolatrice;
calendar=tabella; camera=macchina_fotografica; campfire=fire_valessio; candy cane=candy_10; cardboard box=closed_box,
open_box, scatolone; carrot=what_s_up; cash register=cassa_d_39, cassa_negozio; castle=ch_teau-fort, pinkhome3;
cat=gatto; cd=compact_disc, etiquette_cd; cement mixer truck=betoniera; chainsaw=motosega; chili
pepper=cayennepepperrev*; christmas tree=lightly_decorated, xmas; cigar=smoke_nicu_buculei_03;
cigarette=smoke_nicu_buculei_02; clipboard=appunti; clover=shamrock; coffee machine=macchina_caffe; column=capitello;
compass=bussola; computer=computer-aj, gis-computer, green_computer, schermo_macintosh, thin_client, workstation;
computer keyboard=keyboard; computer mouse=mouse; computer tower=pc_box, tower; cormorant=cormorant; corn cob=corn_cob,
pannocchia; corn dog=corn_dog; cow=vacca; cow head=mhooo; cowboy hat=hat_-_clothing_nicu_bucu_01; crayfish=crawfish; cup
of coffee=coffee, tazza_di; cupcake=muffin_jean; die=dice; digital camera=digital; dinosaur=dino, dinosaur*; diving
tank=nitrox, scuba_tank; doctor=woman_doctor; door lock=serratura; dragonfly=libellul*; drum=derbouk; drum kit=drums;
duck=Anatra; dump truck=truck_jarno_vasamaa1; eagle=acquila, aquila_frontale; egg cup=mcoon; electric
guitar=guitar_jarno_vasamaa2; elephant=elefant*; envelope=envelop, lettera; fez=hat_-_clothing_nicu_bucu_04; fir
tree=simple_evergreen, tree; fire station=firestation; fish=brown_fish, clown_loach; fishing boat=trawler;
flamingo=flamand; flask=chemistry_flask, erlenmeyer, esperimento; flip-flops=thongs; floppy disk=bb_dsk, disquete,
floppy_frederic; flying dinosaur=dino_architetto_francesc_10; folder=fancy_folder, folder; folding chair=sedia_in_legno;
fondue pot=fondue; food mixer=mix_cucina; forklift=Montacarichi; french fries=fries; frying pan=pan_frouke; game
console=gameboy; game controller=joypad; garlic bread=garlic_toast; gear=cog, ruota_dentata; gift box=gift0,
pacco_regalo; girl head=blue_girl, manga_girl; glass of juice=drinking_glass, juice_glass; glass of lemonade=lemonade;
glass of wine=wine; globe=bb_wrld, mondo; goat head=goat; gold chain=gold_chain_of; goldfish=pescetto; gps
device=handheld_gps; grasshopper=cavalletta, grass_hopper; green car=dodge_neon_green; green folder=dossier; green
house=casa_verde; green mug=zielony; green pin=pin_-_green; green towel=recznik; grey padlock=lucchetto_grigio;
groom=groom1; half egg=half_egg; half lemon=lemon_half; half lime=lime_half; hamburger=burger_http, chicken_burger; hand
rake=cultivator; handbag=borsetta; hard disk=gnome-dev-harddisk; harp=harp; heart=heart, hearth; hedge
shears=hedgeshear; honeycomb=honey; horse=cavallo; horse head=cavallo_architetto_franc_03, cavallo_architetto_franc_04;
hourglass=clessidra; house=bb_home, casa_dei_sogni, home0, home1, home2, home3, home4, home6, residential; hut=home15;
ice cream cone=cone, glace_italienne; ice cube=blocco_ghiaccio, icecube; ice pop=glace_0, glace_2, glace_4, glace_7; ice
skate=pattino; igloo=home10; iron=ferro_da_stiro; ironing board=asse_da_stiro, ironing_board; jack-o'-lantern=pumpkin;
jeep=4wd, toyota; jingle bells=jingle; joystick=joystick; juice box=apple_juice, orange_juice; jukebox=fifties;
key=chiave; leaves=foglie; lemon slice=lemon1, lemon_half_slice, lemon_slice; lemon wedge=lemon_wedge; light bulb=bulb,
lamp_sergio, lightbulb; lighter=green_burner, orange_burner; lime slice=lime_half_slice, lime_slice; lime
wedge=lime_wedge; lion=leone; lion head=leone_architetto; lizard=az-lizard; loaf of bread=bread; log cabin=home12,
home9; lollipop=candy_2, candy_3; magnet=calamita; magnifying glass=lens_lente, lente, magnificator, magnifing; man
head=head1, head2, head3, head4, head5, head6, man_face; meat grinder=meatgrinder; microchip=microchip; military
car=hummer; milk carton=milk_ganson; mobile phone=cellular_phone, handphone, mobile, slim_cell; monitor=crt_monitor,
flat_screen, lcd_monitor, tft, video1, video_lcd; monkey head=angry_monkey, happy_monkey, sailor_monkey; moon=full_moon;
mosquito=moschito, zanzara; mud house=home7; muffin=muffin; mug of beer=beer; mug of coffee=coffee_ganson; music
player=rhythmbox; musical note=double, musical_note, simple_croche; network switch=8port, hub; notebook=blocco_notes;
nurse=woman_nurse; off-road car=blazer; office chair=poltrona; oil lamp=lampada_di_aladino; old book=stara_ksiega; olive
branch=olivier_one; open book=book_02; open padlock=lock_-_open; orange butterfly=farfalla_butterfly; orange
fish=pescetto_arancione; orange flower=flower_peterm, red_flower_raph*; orange slice=rondelle; ostrich=struzzo;
outhouse=lowtec_house; pacifier=ciuccio; padlock=lock; paint palette=paint, palette, tavolozza; paint
roller=brush_roller, paint_roller; paintbrush=brush, paint_brush_costea, pennello; pancakes=pancake; paper
bag=paperbag1; paper cup=soft_drink; paper plane=toy_paper_plane; paperclip=clips; parcel=box_juliane_krug_s; party
hat=hat_01, hat_02; pda=cleanpalm, pda; pear=pera; pencil=crayon; pet bowl=scodella; pig head=porcinet, squeek;
pigeon=Colombo, colombo; pill bottle=barattolo_di_pillole; pincers=nail_puller; pink car=dodge_neon_pink; pink
rose=rosa1; pink roses=rose; pinned note=note_with_pin; pipe=smoke_nicu_buculei_01; pistol=9_mm, blue_gun;
planet=jupiter, saturn, venus; plate=large_plate, small_plate; plate of spaghetti=spaghetti; pliers=tool; plum=prune;
plums=la_prugna; policeman=police_man; policewoman=woman_police; potted flower=flowerandpot; praying mantis=mante,
mantide; printer=laserprinter, stampante; propeller hat=propeller; pruning loppers=bypasslopper; pruning
shears=bypasspruner; pudding=pudim; puffin=puffin; pumpkin=zucca; purple flower=funnyflower; purple hat=pimp;
quill=feather; rabbit=coniglio; rabbit head=skoynk; racing car=formula_one; radishes=ravanello; rake=leafrake; rat=topo;
record=45_rpm; record player=vinyl_disc; recycling bin=recycling; red bus=bus1_jarno; red car=car, skoda, sportcar; red
cup=cuppa; red flower=flower_02; red lantern=hurricane_lamp; red peppers=peperoncino; red pin=pin_-red; red rose=rosa2;
red telephone=classic_phone; red truck=truck_jarno_vasamaa; rhinoceros head=rhinoceros_3d; ribbon=fiocco; rifle=m16;
roast turkey=turkey_on; robot=saku_robot; rollerblade=rollerblades; rooster=gallo; rotary telephone=telefono; rubber
stamp=stamp_01; rubik's cube=rubik; sailboat=boat_jarno_vasamaa, sailboat_ill*; sailing ship=boat_jarno_vasamaa1,
browser; sandwich=sandwich_one, tramezzino; satellite=satellite_zazou; saw=sega_per, utensile_sega;
scarecrow=spaventapasseri; school=school_country; scissors=scissors_forbici; scorpion=scorpion; scraper=spaclu;
scratching post=cat_scrathing; scroll=parchment; scrubbing brush=scrub_brush; seagull=gabbiano, gull; semi
truck=big_truck; server=pale_server, server; set-top box=set_top; sheep=pecora, sheep-md; sheep head=shaezy; sheet of
paper=carta, paper2; shirt=camicia_in_seta; shopping bag=paperbag2; shopping basket=cesto; shorts=wild_summer; sim
card=sim; sleeping bag=sacco_a_pelo; slice of apple=apple_wedge; slice of pie=pie_apple, pie_cherry, pie_pumpkin; slice
of pizza=pizza; sneaker=tennis_shoe; sneakers=tennis_shoes; soap dispenser=sapone_liquido; soccer ball=soccer_ballon;
soda can=pop_can; spider=ragnetto; spirit level=livella; spray can=insecticide; stack of paper=paper4;
stapler=blue_stamper, pinzatrice, stappler; steak=steak; stethoscope=stetoscopio; stink bug=punaisa;
stopwatch=cronometro; submarine sandwich=submarine; suitcase=little_tan; sun=sunshine; sword=longsword, spider_sword;
syringe=siringa; t-shirt=t-shirt; table lamp=liberty; table tennis bats=table_tennis; tape dispenser=scotch; tape
measure=metro_avvolgibile; teddy bear=teddybear; telephone=ip_phone; telephone receiver=phone_handset; tepee=home11;
test tube=provetta; tiger=tigre; tiger head=tiger_graig; top hat=hat_-_clothing_nicu_bucu_03,
hat_-_clothing_nicu_bucu_05, tophat; toy blocks=abc_blocks; toy train=kiddy_train; tractor=trattore; tram=tramway;
transistor=transistor; trash can=bb_trsh_e; tree=albero, arbre_modern, plain_tree, tree_02; trombone=tenor_trombone;
trumpet=trumpet; turkey=pollo, tacchino; tv=television, televisore, tv_zazou; usb stick=bb_usb, usb; vacuum
cleaner=vacuum, vavuum; video camera=telecamera; volleyball=volley; waffle=gauffre; walrus=seal_sek; wasp=flying_wasp;
wastebasket=cestino_pieno, cestino_vuoto; wedding cake=cake1_jarno; wedding rings=wedding_rings_jarno_vas_;
wheelbarrow=carretta_da_cantiere; white magnolia=magnolia_white; woman=woman; woman head=head11, head12, head13, head14;
wooden blocks=unit_blocks; wooden table=tavolo_in_legno; woolly hat=winter_hat; work light=lampada_da_cantiere;
wreath=evergreen_wreath; yellow cup=cup_rollandin; yellow fish=yellow_gourami; yellow flower=flower1; yellow
flowers=flowers; yellow house=home14; yellow padlock=lucchetto_ottone; yellow pin=pin_-_yellow
"""
# Looked at, too: scenes, several things, parts, faces, ugly, or something else than the title says.
DROP = """
45_rpm_records, a_happy_boy, acquila_architetto_franc_01, acquila_architetto_franc_04, airplane_nicu, apple_martin,
apple_mateya, apple_with_worm, arrow1, banana_mateya, battery_snu*, bicycle_philippe, binoculars_v*, bouquet_of,
box_juliane_krug_r, box_with_folders, box_with_spring, boy_astrid, bread_and, bread_mateya, brick_frouke, bus_01,
butter_01, cactus_linda, cake_mateya, car_ride, cassette_video, caterpillar, cheese_mateya, christmas_light,
croissant_01, desktop, dino_architetto_francesc_09, dog_01_drawn_with_strai_02, dog_02, double_helix, dream, egg_mateya,
egg_muffin, eiffel, elephant_01, factory, fire_engine_romus, fireman_alarm, fireman_enrique, fireman_wedding,
floppy_architetto, food_leif, gatto_nero, gold_chain_curved, green_fedora, heart-arrow, heart-b*, heart_cluster, home13,
home5, home8, horse, house_gabrielle, house_juliane, hummer_01, hummer_02, ice_cream_cone_linda, ice_cube, ice_water,
igloo, island_palm, keyboard_key, laptop_01, lemonade_linda, lente_meno, lotion_linda, m16_01, mag2, mag3, mag4,
magnifying_glass_tom, man_chris, man_head, man_in_chair, mermaid, microphone_stand, milk_mateya, mobile_architetto,
mosquito_peterm, mouse_pointer, mug_toh, newspaper_aubanel, open_book_01, orso_architetto_francesc_02, paint_brush,
paperface, park_nicu, pasta_mateya, pear_02, pear_jean*, pen_pencil, pen_sek, pink-rose, pizza_rectangular, plane,
rainbow_linda, red_flower_03, redcar, rondelle_orange, ruota_dentata_2, ruota_dentata_grigia_2,
sailboat_illustration_labels, salad_mateya, scale, school, shield_matt_todd_01, sleeping, street_sign, sun_flower,
sunglasses_linda, telescope, tree_0, tree_branches, trumpet_h*, trumpet_s*, water_tower, wine_corks, woman_chemist,
woman_reading, yellow-scroll, zanzara_c*
"""


def _looked() -> dict[str, str]:
    lists = (entry.strip().partition("=") for entry in NAMED.replace("\n", " ").split(";"))
    pairs = {start.strip(): name for name, _, starts in lists for start in starts.split(",")}
    return dict.fromkeys((start.strip() for start in DROP.replace("\n", " ").split(",")), "") | pairs


LOOKED = _looked()
