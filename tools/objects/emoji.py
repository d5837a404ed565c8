"""Stage the object-like Fluent 3-D emoji: picture, the name a person would say, its kind.

Knows the two npm packages' layouts and the tables of names below. Knows nothing of splits, colours or the pack.

    python tools/objects/emoji.py FLUENT_PACKAGE UNICODE_EMOJI_PACKAGE STAGING
"""

import json
import re
import sys
import unicodedata
from pathlib import Path

from PIL import Image
from staging import crop, write_lines, write_object

SOURCE = "@lobehub/fluent-emoji-3d 1.1.0"
LONGEST = 144

# The first emoji of each range, in Unicode's order, and the tag of the range. An empty tag: the range is left out.
RANGES = """
monkey face=animal; bouquet=plant; grapes=fruit; tomato=vegetable; bread=food; baby bottle=drink;
chopsticks=tableware; globe showing Europe-Africa=place; stadium=building; foggy=; carousel horse=fairground;
locomotive=vehicle; bus stop=road; anchor=vehicle; bellhop bell=travel; hourglass done=time; twelve o'clock=;
ten o'clock=time; ten-thirty=; full moon=sky; waning gibbous moon=; crescent moon=sky; new moon face=;
thermometer=sky; jack-o-lantern=celebration; military medal=award; soccer ball=sport; bullseye=game;
performing arts=art; glasses=clothing; muted speaker=sound; saxophone=instrument; mobile phone=device;
closed book=paper; coin=money; envelope=post; pencil=writing; briefcase=office; locked=tool; alembic=science;
syringe=medicine; door=household; cigarette=other
"""
GROUPS = ("Animals & Nature", "Food & Drink", "Travel & Places", "Activities", "Objects")

# Scenes in a square, symbols, several things at once, near copies of another.
DROP = """
pig nose; paw prints; white flower; leaf fluttering in wind; pouring liquid; mate; globe with meridians;
map of Japan; globe showing Americas; globe showing Asia-Australia; camping; beach with umbrella; desert;
national park; kaaba; station; mountain railway; suspension railway; aerial tramway; motorway; railway track;
shooting star; milky way; sun behind cloud; cloud with lightning and rain; sun behind small cloud;
sun behind large cloud; sun behind rain cloud; fog; wind face; cyclone; umbrella with rain drops;
snowman without snow; full moon face; sun with face; fireworks; sparkler; sparkles; confetti ball; tanabata tree;
pine decoration; moon viewing ceremony; bowling; spade suit; heart suit; diamond suit; club suit;
flower playing cards; muted speaker; speaker low volume; speaker medium volume; speaker high volume; bell with slash;
musical score; musical note; musical notes; level slider; control knobs; mobile phone with arrow; computer disk;
page with curl; bookmark tabs; money with wings; chart increasing with yen; e-mail; incoming envelope;
envelope with arrow; outbox tray; inbox tray; closed mailbox with lowered flag; open mailbox with lowered flag; memo;
card index dividers; card index; chart increasing; chart decreasing; bar chart; locked with pen; hammer and pick;
hammer and wrench; dna; x-ray; bubbles; nazar amulet; hamsa; hourglass not done; elevator; empty nest
"""

# Unicode's name=the name a person would say[/kind, where it is not the last word].
NAMES = """
dog face=dog face/dog; poodle=poodle/dog; cat face=cat face/cat; monkey face=monkey face/monkey;
tiger face=tiger face/tiger; horse face=horse face/horse; cow face=cow face/cow; pig face=pig face/pig;
mouse face=mouse face/mouse; rabbit face=rabbit face/rabbit; dragon face=dragon face/dragon; ram=ram/sheep;
ewe=ewe/sheep; two-hump camel=two-humped camel/camel; hatching chick=hatching chick; baby chick=baby chick;
front-facing baby chick=baby chick; black bird=black bird; sauropod=long-necked dinosaur; T-Rex=T-Rex dinosaur;
spouting whale=spouting whale; blowfish=blowfish/fish; spiral shell=sea shell/shell; bug=caterpillar; honeybee=bee;
lady beetle=ladybug; spider web=spider web/web; bouquet=bouquet of flowers/bouquet;
cherry blossom=cherry blossom/flower; lotus=lotus flower; rosette=orange flower; rose=rose/flower;
hibiscus=hibiscus flower; sunflower=sunflower/flower; blossom=white flower; tulip=tulip/flower;
hyacinth=hyacinth/flower; sheaf of rice=rice plant; herb=herb/plant; shamrock=shamrock/clover;
four leaf clover=four-leaf clover; fallen leaf=fallen leaves/leaf; nest with eggs=nest with eggs/nest;
cherries=cherries/cherry; blueberries=blueberries/blueberry; kiwi fruit=kiwi; ear of corn=ear of corn/corn;
leafy green=lettuce; peanuts=peanuts/peanut; beans=beans/bean; ginger root=ginger root/ginger;
pea pod=pea pod/pea pod; baguette bread=baguette/bread; flatbread=flatbread/bread; pancakes=pancakes/pancake;
cheese wedge=wedge of cheese/cheese; meat on bone=meat on the bone/meat; poultry leg=drumstick; cut of meat=steak;
french fries=french fries/fries; pizza=slice of pizza/pizza; hot dog=hot dog/hot dog;
stuffed flatbread=pita sandwich; cooking=frying pan with an egg/pan; shallow pan of food=pan of food/pan;
pot of food=pot of food/pot; fondue=fondue pot; bowl with spoon=bowl with a spoon/bowl; green salad=green salad;
salt=salt shaker; canned food=tin can; bento box=bento box/bento box; rice ball=rice ball/rice ball;
cooked rice=bowl of rice/bowl; curry rice=plate of curry/curry; steaming bowl=bowl of noodles/bowl;
roasted sweet potato=sweet potato; oden=oden skewer; dango=dango skewer; fried shrimp=fried shrimp;
fish cake with swirl=fish cake/fish cake; moon cake=moon cake/cake; soft ice cream=ice cream cone/ice cream;
ice cream=bowl of ice cream/ice cream; shaved ice=shaved ice/shaved ice; shortcake=slice of cake/cake;
chocolate bar=chocolate bar/chocolate; honey pot=pot of honey/pot; glass of milk=glass of milk/glass;
hot beverage=cup of coffee/cup; teacup without handle=teacup/cup; sake=sake bottle;
bottle with popping cork=champagne bottle; tropical drink=tropical cocktail; beer mug=beer mug;
clinking beer mugs=two beer mugs/mug; clinking glasses=two champagne glasses/glass; tumbler glass=whisky glass;
cup with straw=cup with a straw/cup; bubble tea=cup of bubble tea/cup; beverage box=juice box; ice=ice cube/ice cube;
chopsticks=chopsticks/chopsticks; fork and knife with plate=plate with a fork and a knife/plate;
fork and knife=fork and knife/fork; globe showing Europe-Africa=globe; world map=world map;
mount fuji=Mount Fuji/mountain; building construction=construction crane; brick=brick wall; wood=log;
houses=houses/house; house with garden=house with a garden/house; classical building=classical building;
Japanese post office=Japanese post office/post office; post office=post office/post office; love hotel=love hotel;
wedding=wedding chapel; Tokyo tower=Tokyo Tower/tower; Statue of Liberty=Statue of Liberty/statue;
hindu temple=Hindu temple; shinto shrine=torii gate; ferris wheel=Ferris wheel/Ferris wheel;
roller coaster=roller coaster/roller coaster; locomotive=steam locomotive; railway car=railway car/train;
metro=subway train; light rail=light rail train; tram car=tram car/tram; oncoming bus=bus;
oncoming police car=police car; taxi=taxi/car; oncoming taxi=taxi/car; automobile=car; oncoming automobile=car;
minibus=minibus/bus; trolleybus=trolleybus/bus; sport utility vehicle=off-road car; articulated lorry=semi truck;
racing car=racing car; fire engine=fire engine/fire engine; manual wheelchair=wheelchair;
motorized wheelchair=electric wheelchair; auto rickshaw=auto rickshaw; bus stop=bus stop sign; oil drum=oil barrel;
fuel pump=fuel pump; police car light=red siren light; horizontal traffic light=traffic light/traffic light;
vertical traffic light=traffic light/traffic light; construction=construction barrier; ring buoy=life buoy;
sailboat=sailboat/boat; speedboat=speedboat/boat; motor boat=motor boat; passenger ship=cruise ship;
small airplane=small airplane; airplane departure=airplane taking off/airplane; airplane arrival=landing airplane;
seat=airplane seat; mountain cableway=cable car/cable car; luggage=suitcase; hourglass done=hourglass;
timer clock=timer; mantelpiece clock=mantel clock; ten o'clock=wall clock; ringed planet=ringed planet;
cloud with rain=rain cloud; cloud with snow=snow cloud; cloud with lightning=thunder cloud;
umbrella on ground=beach umbrella; high voltage=lightning bolt/lightning bolt; fire=flame; droplet=water drop;
water wave=wave; Japanese dolls=Japanese dolls/doll; carp streamer=carp streamer; wrapped gift=wrapped gift;
ribbon=ribbon bow/ribbon; reminder ribbon=yellow awareness ribbon; admission tickets=admission ticket;
1st place medal=gold medal; 2nd place medal=silver medal; 3rd place medal=bronze medal; baseball=baseball/ball;
softball=softball/ball; basketball=basketball/ball; volleyball=volleyball/ball;
american football=American football/ball; rugby football=rugby ball; tennis=tennis racket; flying disc=frisbee;
cricket game=cricket bat/cricket bat; field hockey=field hockey stick/hockey stick;
ice hockey=ice hockey stick/hockey stick; lacrosse=lacrosse stick/lacrosse stick; ping pong=ping pong paddle;
badminton=badminton racket; goal net=goal net/goal; flag in hole=golf flag; fishing pole=fishing rod/fishing rod;
running shirt=running shirt; skis=ski; bullseye=target; pool 8 ball=eight ball; video game=game controller;
slot machine=slot machine/slot machine; game die=dice; puzzle piece=puzzle piece/puzzle piece;
teddy bear=teddy bear/teddy bear; piñata=pinata; mirror ball=disco ball; nesting dolls=nesting doll;
chess pawn=chess pawn; joker=joker card; mahjong red dragon=mahjong tile; performing arts=theater masks/mask;
artist palette=paint palette; thread=spool of thread/spool; yarn=ball of yarn/yarn; knot=blue rope;
sunglasses=sunglasses/glasses; necktie=shirt with a tie/shirt; t-shirt=t-shirt/shirt; gloves=gloves/glove;
socks=socks/sock; one-piece swimsuit=swimsuit; woman's clothes=pink blouse; folding hand fan=folding fan;
purse=coin purse; handbag=handbag/bag; shopping bags=shopping bags/bag; thong sandal=flip-flop sandal;
man's shoe=leather shoe; woman's sandal=heeled sandal; ballet shoes=ballet shoes/shoe; woman's boot=red boot;
hair pick=comb; woman's hat=sun hat; billed cap=billed cap; rescue worker's helmet=rescue helmet;
prayer beads=string of beads/beads; gem stone=gem; musical keyboard=piano keys/piano; headphone=headphones;
mobile phone=mobile phone; telephone=telephone/phone; telephone receiver=telephone receiver;
fax machine=fax machine/fax machine; electric plug=electric plug; computer mouse=computer mouse/computer mouse;
floppy disk=floppy disk/floppy disk; optical disk=compact disc; dvd=golden disc; film frames=film strip/film strip;
clapper board=clapperboard; camera with flash=camera with a flash/camera; videocassette=video cassette;
magnifying glass tilted left=magnifying glass/magnifying glass;
magnifying glass tilted right=magnifying glass/magnifying glass; light bulb=light bulb/light bulb;
red paper lantern=paper lantern; diya lamp=oil lamp;
notebook with decorative cover=notebook with a patterned cover/notebook; closed book=red book;
books=stack of books/book; ledger=ledger; page facing up=sheet of paper/paper; label=price tag;
yen banknote=yen banknotes/banknote; dollar banknote=dollar banknotes/banknote;
euro banknote=euro banknotes/banknote; pound banknote=pound banknotes/banknote; credit card=credit card;
package=cardboard box; closed mailbox with raised flag=closed mailbox; open mailbox with raised flag=open mailbox;
ballot box with ballot=ballot box; black nib=pen nib; card file box=card file box; file cabinet=filing cabinet;
file folder=file folder; locked=closed padlock; unlocked=open padlock; locked with key=padlock with a key/padlock;
pick=pickaxe; crossed swords=crossed swords/sword; bow and arrow=bow and arrow/bow; carpentry saw=hand saw;
nut and bolt=nut and bolt/bolt; white cane=walking cane; link=chain links/chain; chains=chains/chain;
test tube=test tube/test tube; petri dish=petri dish/petri dish; satellite antenna=satellite dish/satellite dish;
drop of blood=drop of blood/drop; couch and lamp=couch with a lamp/couch; shower=shower head/shower head;
mouse trap=mousetrap; lotion bottle=lotion bottle; safety pin=safety pin/safety pin;
roll of paper=roll of toilet paper/toilet paper; fire extinguisher=fire extinguisher/fire extinguisher;
funeral urn=urn; moai=moai statue; placard=wooden sign; identification card=identity card;
linked paperclips=linked paperclips/paperclip; potted plant=potted plant; green book=green book;
snow-capped mountain=snow-capped mountain; jack-o-lantern=jack-o'-lantern; thermometer=thermometer;
stethoscope=stethoscope
"""


def pairs(table: str) -> dict[str, str]:
    """A table of `key=value; key=value …` as a dict; an entry without `=` has an empty value."""
    entries = (entry.strip().partition("=") for entry in table.split(";"))
    return {key: value for key, _, value in entries if key}


def objects(fluent: Path, unicode_emoji: Path, staging: Path) -> list[dict]:
    """Write the pictures under STAGING/emoji and return the staging lines, in Unicode's order."""
    names, drop, ranges = pairs(NAMES), pairs(DROP), pairs(RANGES)
    known = json.loads((unicode_emoji / "data-by-emoji.json").read_text(encoding="utf-8"))
    for entry in known.values():
        entry["name"] = entry["name"].replace("\u2019", "'")
    unknown = (set(names) | set(drop) | set(ranges)) - {entry["name"] for entry in known.values()}
    if unknown:
        raise ValueError(
            f"the tables name {sorted(unknown)[:5]}, which no emoji is called; use the names of the package"
        )
    lines: list[dict] = []
    tag, taken = "", set[str]()
    for emoji, entry in known.items():
        if entry["group"] not in GROUPS:
            continue
        tag = ranges.get(entry["name"], tag)
        picture = _picture(fluent / "assets", emoji)
        if not tag or entry["name"] in drop or picture is None:
            continue
        name, _, kind = names.get(entry["name"], entry["name"]).partition("/")
        slug = _slug(entry["name"])
        if slug in taken:
            raise ValueError(f"two emoji would be emoji/{slug}; give one another name in the table")
        taken.add(slug)
        with Image.open(picture) as image:
            line = write_object(
                staging, f"emoji/{slug}", crop(image.convert("RGBA"), LONGEST), name=name, kind=kind or name.split()[-1]
            )
        lines.append(line | {"tags": [tag], "source": SOURCE, "licence": "MIT", "author": "Microsoft"})
    return lines


def _picture(assets: Path, emoji: str) -> Path | None:
    code = "-".join(f"{ord(character):04x}" for character in emoji)
    for stem in (code, code.replace("-fe0f", "")):
        if (assets / f"{stem}.webp").exists():
            return assets / f"{stem}.webp"
    return None


def _slug(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name.replace("'", "")).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    staged = objects(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
    print(write_lines(Path(sys.argv[3]) / "emoji.jsonl", staged), "emoji")
