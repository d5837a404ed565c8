"""What people call a piece of furniture, and which pieces are no good to point at.

Knows English and the catalogue's oddities; knows nothing of files and pictures.
"""

from __future__ import annotations

import re


def table(rows: str) -> dict[str, str]:
    """`this=that; …` as a dictionary."""
    return dict(row.strip().split("=") for row in rows.replace("\n", " ").split(";"))


# Whole categories and single models (by the end of their catalogue id) that look wrong alone.
UNWANTED_CATEGORIES = {"Doors and windows", "Staircases"}
UNWANTED_NAMES = {
    "emergency sign",  # a flat text
    "pedestrian crossing",  # road paint
    "arrow straight ahead",
    "arrow turn right and ahead",
    "arrow turn right",
    "parking slot",
    "parking slot 90°",
    "parking slot 45°",
    "parking slot 60°",
    "parking slot 75°",
    "concrete sidewalk",
    "swimming pool",  # sunk into the ground
    "rails",  # two lines
    "shower head and faucet",  # two small things a metre apart
    "shower door",  # a grey pane
}
# A dozen of the white sockets and switches will do.
UNWANTED_KEYS = re.compile(r"rounded-(plug|RJ|antenna|double)|square-(RJ|antenna|dimmer)")
# Clothes that the catalogue lays flat on the floor, where nothing is seen of them: shown upright.
LYING = {
    "blouson",
    "chaussette",
    "gant-textured",
    "headphones",
    "jupe",
    "jupe-doeskin",
    "pantalon-shadows",
    "robe",
    "short-shadows",
}

# The catalogue's name, lower-cased -> what a person would say. Where one name covers several things: by key.
BY_KEY = table("""
MIDI-keyboard=piano keyboard; ammoBox=ammunition box; bamboo=bamboo tree; boiler=kettle; box=plastic box;
box_room=storage unit; cartoon_biplane=toy plane; chaussette=sock; com_bath=shampoo bottle;
com_bath2_jabon_pijo=soap bottle; com_bath3=towel rack; cooker=rice cooker; ext_chair=garden armchair;
ext_table=coffee table; flowerBox=flower box; kids_desk_chair=office chair; kitchen_tool1=serving spoon;
kitchen_tool2=ladle; kitchen_tool3=spatula; kitchen_tool4=pasta spoon; knifeStandSwap=knife rack; lamp=table lamp;
lamp2=chandelier; living_lamp=floor lamp; living_room_table=coffee table; livingroom_lamp1=table lamp;
luckyBamboo=bamboo plant; motorbike=spring rider; office-chair=office chair; office_box=office cabinet;
office_chair=office chair; office_furniture1=sideboard; poolTable=pool table; puff=bean bag; scooter2=motor scooter;
shovel=dustpan; table_lamp=table lamp; umbrella=patio umbrella
""")
BY_NAME = table("""
abdominal bench=exercise bench; acacia=acacia tree; air conditioning - external unit=air conditioner;
air conditioning - internal unit=air conditioner; apple ibook=laptop; apple imac 1998=computer;
apple imac 2004=computer; apple iphone=smartphone; apples=bowl of apples; armchair ottoman=lounge chair;
barnum=canopy tent; bath=bathtub; bathmat=bath mat; bended coconut tree=coconut tree; bike=bicycle;
bill 10€=banknote; bill 20€=banknote; bill 50€=banknote; blue pine under snow=snowy pine tree; bootie=boot;
bowl with fruits=bowl of fruit; bowl with salad=bowl of salad; bullet trash can=trash can; car model=toy car;
card game=playing cards; cctv=security camera; chandelier lamp=chandelier; chest=chest of drawers; chevrolet=car;
child bed=children's bed; child chair=children's chair; child hut=playhouse; child swing=swing set;
children chair=children's chair; children game=playground slide; children table=children's table;
class seat=school chair; classic lamppost=lamp post; clear sofa=sofa; clothes basket=laundry basket;
clothes horse=clothes rack; clothes washing machine=washing machine; coffee brewer=coffee maker;
coffee press=french press; concept sedan 01=car; concept sedan 02=car; concept sedan 02 sport=car;
contemporary living room=tv wall unit; convertible sofa bz=sofa bed; copper beech=beech tree;
cosmetics pot=cosmetics jar; creamer=cream jug; cup cake=cupcake; cypress=cypress tree; dart game=dartboard;
desk table=desk; drawers cabinet=drawer cabinet; dryer machine=tumble dryer; electronic scale=kitchen scale;
entry bell ring=doorbell; entry speech unit=intercom; extinguisher=fire extinguisher; female=woman;
ficus=ficus tree; fitness tower=home gym; flacon=perfume bottle; flipper=pinball machine;
fluorescent strip=fluorescent light; ford focus=car; fork lift=forklift; frame chambord=picture frame;
frame hôi an=picture frame; futon couch=futon sofa; gaz water heater=gas water heater; hashtray=ashtray;
holding female=woman; holding male=man; hood=range hood; indoor bike=exercise bike;
induction cooker 2 zones=induction cooktop; induction cooker 4 zones=induction cooktop;
inkjet printer and scanner=printer; intercom with screen=video intercom; island=kitchen island; island bath=bathtub;
island extension=kitchen island; japanese maple=maple tree; joystick=game controller;
kitchen tools=kitchen utensils; knife stand=knife block; letters box=letter box; lip stick=lipstick;
little bank=small bench; little lamp=table lamp; little plant=small plant; locked locker=locker;
lower corner cabinet=corner cabinet; lying down boy=lying boy; lying down female=lying woman;
lying down male=lying man; male=man; mannequin female=woman; mannequin male=man; mezzanine bed=loft bed;
milk=milk carton; mini stereo=stereo; mocassin=moccasin; mower=lawn mower; mp3 base=speaker dock;
mp3 station=speaker dock; number lock=keypad; oil servers=oil bottles; opened convertible sofa bz=open sofa bed;
osaka chair=chair; park light=park lamp; park trashcan=park trash can; peach blossom=peach tree;
pedestal vase lamp=vase lamp; penbox=pen holder; peugeot 308 cc=car; pine=pine tree;
pine under snow=snowy pine tree; plate, glass and cutlery=place setting; plate, glasses and cutlery=place setting;
playstation=game console; pool lounge=sun lounger; poplar=poplar tree; pottery=pot; punching ball=punching bag;
rail crossing=crossing barrier; rectangle swimming pool=paddling pool; reflex camera=camera;
relax chair=lounge chair; renault scenic=car; residential trashcan=trash can; rigged fan=fan;
round carpet=round rug; round swimming pool=round paddling pool; screen=folding screen; seat leon=car; short=shorts;
sitting female=sitting woman; sitting male=sitting man; small lavatory=small washbasin; smart car=small car;
sofa 2 seats=two-seat sofa; sofa 3 seats=three-seat sofa; spathiphyllum=peace lily; spice tower=spice rack;
stone grill device=stone grill; sugar=sugar bowl; surveillance camera=security camera; sycamore maple=sycamore tree;
table on trestles=trestle table; table tennis=table tennis table; tape=roll of tape; tatami=tatami mat;
technical table=drafting table; teck chair=teak chair; television cabinet=tv cabinet; text marker=marker pen;
toilets unit=toilet; trunck=trunk; tv 16:9=tv; upper corner cabinet=corner cabinet;
upper shelves cabinet=upper cabinet; utensils pot=utensil pot; vertical shelves=tall shelves; vw new beetle=car;
wall double socket=double wall socket; wall flat tv=wall tv; wall lamp artwork=picture light;
white board=whiteboard; winchester armchair=leather armchair; winchester sofa=leather sofa;
wire coathanger=coat hanger; woman shoes=women's shoes; wood bank=wooden bench; wood logs=stack of logs;
wood toy=wooden toy; wooden alder table=wooden table; wooden teak table=teak table; yamaha yzr r6=motorcycle;
yucca=yucca plant
""")

# The head noun -> the kind, where they differ.
KINDS = table("""
boot=shoe; bottles=bottle; bulldog=dog; can=bin; cap=hat; cards=playing cards; chandelier=lamp; chest=dresser;
couch=sofa; cupboard=cabinet; dock=speaker; doormat=mat; dustbin=bin; flowers=flower; freezer=fridge;
hood=range hood; island=kitchen island; jacuzzi=bathtub; ladle=spoon; light=lamp; lights=lamp; lily=plant; logs=log;
lounger=chair; moccasin=shoe; mower=lawn mower; mug=cup; orchids=flower; press=coffee machine; reel=hose;
refrigerator=fridge; shelves=shelf; shoes=shoe; sideboard=cabinet; slippers=shoe; smartphone=phone; sneakers=shoe;
spotlight=lamp; stall=shower; sunglasses=glasses; suv=car; tulips=flower; unit=cabinet; utensils=kitchen utensils;
washbasin=sink; whiteboard=board
""")
# Two-word kinds, where the last word alone would say something else.
PHRASES = table("""
air conditioner=air conditioner; air mattress=mattress; basketball net=basketball net; bean bag=bean bag;
bread box=box; chopping board=chopping board; christmas tree=christmas tree; clothes rack=rack;
coffee machine=coffee machine; coffee maker=coffee machine; diving board=diving board; dog house=dog house;
doll house=doll house; dvd player=dvd player; exercise bike=exercise bike; fire extinguisher=fire extinguisher;
fire hydrant=hydrant; flower box=flower box; game controller=controller; home gym=exercise machine; hot dog=hot dog;
lamp post=street lamp; letter box=mailbox; paddling pool=pool; palm tree=tree; pinball machine=pinball machine;
place setting=place setting; plant box=flower box; punching bag=punching bag; remote control=remote control;
rice cooker=rice cooker; roasted chicken=roast chicken; rocking horse=toy; salt shaker=salt shaker;
sandwich maker=sandwich maker; sleeping bag=sleeping bag; smoke detector=smoke detector; sofa bed=sofa;
spring rider=spring rider; street lamp=street lamp; street light=street lamp; swing set=swing; table tennis bat=bat;
tape measure=tape measure; teddy bear=teddy bear; toilet brush=brush; toilet paper dispenser=toilet paper;
toy car=toy; toy plane=toy; toy train=toy; tv stand=cabinet; washing machine=washing machine;
water cooler=water cooler; water heater=water heater; window blind=blind; wooden toy=toy
""")


def is_wanted(key: str, name: str, category: str) -> bool:
    """Whether the piece makes a picture that one can point at."""
    return category not in UNWANTED_CATEGORIES and name.lower() not in UNWANTED_NAMES and not UNWANTED_KEYS.match(key)


def spoken(key: str, name: str) -> str:
    """The lower-case English name of the piece with this catalogue id and name."""
    plain = re.sub(r"\s+", " ", name).strip().lower()
    if key in BY_KEY:
        return BY_KEY[key]
    plain = BY_NAME.get(plain, plain)
    if re.search(r"\b(plug|socket|antenna|rj45)\b", plain):
        return "double wall socket" if "double" in plain else "wall socket"
    if "switch" in plain:
        return "double light switch" if "double" in plain else "light switch"
    return re.sub(r"^(rounded|square) ", "", plain)


def kind_of(name: str) -> str:
    """The head noun of a spoken name, singular, synonyms merged: "couch with cushions" -> "sofa"."""
    head = re.split(r" with | of | and | on | for ", name)[0]
    if name.startswith(("bowl of", "roll of", "stack of")):
        head = name.split()[0] if name.startswith("bowl") else name.split()[-1]
    for phrase, kind in PHRASES.items():
        if head.endswith(phrase):
            return kind
    word = head.split()[-1]
    return KINDS.get(word, word)
