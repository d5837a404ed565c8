"""What people call further authors' furniture, what of it is no good to point at, and the program's own materials.

Knows English and the catalogues' oddities; knows nothing of files and pictures.
"""

from __future__ import annotations

import re

from furniture_names import table

# Catalogue names, lower-cased and without sizes, that look wrong alone or that nobody would point at.
UNWANTED = set(
    """
arch; awning; balustrade corner; bath l shape; bathtub jet system; blue light source; blue slate roof; boiler; books;
candle ornament; cart; curtain rod; curtains; cylinder; desk extension; edge; fan; fence grid; fence post; fireglow
light source; french telephone plug; glass blocks; green light source; halogen light source; handrail; incandescent
light source; invoice; magenta light source; metal box; open sofa bed; outdoor staircase; polygonal roof; rail; rain
gutter part; red light source; red slate roof; round vent; semicircle handrail; service hatch; shower cubicle; shower
door; sliding doors; sphere; staircase; swimming pool; switchboard; tooth brushes and paste; triangle; tube; tv plug;
vent; white light source
""".replace("\n", " ")
    .strip()
    .split("; ")
)
# … and what a person would say instead of others.
SAID = table("""
allen organ=organ; angle shelf=shelves; angle wardrobe=corner wardrobe; antena tv=tv antenna; apple ipod=mp3 player;
balustrade column=column; bar table=sideboard; bath=bathtub; beer barrel=barrel; bike=bicycle; black tupelo=tree;
blocks=building blocks; book java=book; book sweet home 3d kompakt=book; book sweet home kompakt=book; border
fence=fence; bread=baguette; carpet=rug; ceramic hob=hob; chest=chest of drawers; clothes line=clothesline; clothes
washer=washing machine; comics book=comic book; container=trash can; cooker=stove; cooking plate=hob; corner cabinet
°=corner cabinet; corner shelves °=corner shelves; couch two seats=two-seat couch; cupboard mirror=mirror cabinet;
dark blue corner shelf=blue corner shelf; dark blue cube shelf=blue cube shelf; dark blue shelf=blue shelf; drawer
unit on casters=drawer cabinet; drawers=chest of drawers; electric outlet=wall socket; extinguisher=fire extinguisher;
fence grid gate=gate; fence picket=picket fence; filled bookcase=bookcase; fitted bath=bathtub; flat tv=tv; floor
uplight=floor lamp; flowers=vase of flowers; fluorescent strip=fluorescent light; flute=champagne glass; frame=picture
frame; fridge & freezer=fridge; gaz bottle=gas bottle; glass-door cabinet=glass door cabinet; gnome table=table; greek
carpet=rug; grey drawers=grey chest of drawers; grey smaller upper cabinet=grey upper cabinet; hanged toilet=toilet;
hanging suits=rack of suits; hat and coat stand=coat stand; high boy dresser=dresser; hood=range hood; horizontal
frame=painting; island extension=kitchen island; kitchen upper cabinet=upper cabinet; lamp=table lamp; large
pantry=pantry cabinet; lattice chair=chair; letter cubes=letter blocks; lombardy poplar=poplar tree; long drink
glass=glass; magazines pile=stack of paper; monitor lcd=monitor; mouse=computer mouse; open comics book=comic book;
oven front=oven; p40=toy plane; pantry=pantry cabinet; pc table=desk; pc tower=computer; perfume=perfume bottle;
peugeot=moped; photocopier printer=photocopier; picture mule=picture; picture portrait=picture; picture ying=picture;
pinewood rack full height=wooden shelves; pinewood rack full height half width=wooden shelves; pinewood rack low
height=wooden shelves; pinewood rack medium height=wooden shelves; plant=potted plant; planters desk=desk; plate,
glasses and cutlery=place setting; plug=wall socket; quaking aspen=tree; railing glass=glass railing; red drawers=red
chest of drawers; red island=red kitchen island; refridgerator=refrigerator; rice bowl=bowl of rice; rounded edges
railing=railing; ruffled vase=vase; sassafras=tree; secretary's desk=desk; shampoo=shampoo bottle; shelf unit=wall
unit; shelving=wall shelves; shower cabin=shower stall; small bookshelves=bookcase; small border fence=fence; small
chest=small chest of drawers; small wrought iron rails=railing; smaller railing=railing; smiley tower=stacking toy;
soap=soap dispenser; square frame=painting; stainless steel shelf=shelf; switch=light switch; toilet unit=toilet;
towel and medicine cabinet=medicine cabinet; train=toy train; trunk=storage box; tv :=tv; tv center=tv wall unit; tv
shelf unit=tv cabinet; tv unit=tv stand; ubuntu clock=clock; upper corner cabinet=corner cabinet; upper corner
shelves=corner shelves; vacuum=vacuum cleaner; vertical frame=painting; vertical radiator=radiator; wall uplight=wall
lamp; washer dryer=washing machine; weeping willow=willow tree; wheelie bin=trash can; wooden corner china=china
cabinet; wooden island=kitchen island; wooden pantry=pantry cabinet; work lamp=desk lamp; wrought iron rails=railing
""")
# What materials are called that the program itself knows, and their colours.
SHADES = table("""
white=f4f4f4; flwhite=f0f0f0; flwhite1=f0f0f0; archwhite=eeeae0; archwhite2=eeeae0; offwhite.warm=f0e8d8;
white.001=f4f4f4; bone=e4dcc8; bone1=e4dcc8; bone2=dcd0b8; teeth=f0ead8; silver=b8b8bc; flltgrey=c4c4c4;
ltgrey=c8c8c8; grey=8c8c8c; flgrey=8c8c8c; fltgrey=b0b0b0; dkgrey=505050; fldkgrey=505050; dkdkgrey=303030;
fldkdkgrey=303030; black=181818; flblack=181818; metal=9a9aa0; lighttan=d8bc90; lighttannew=d8bc90; lighttan2=d0b080;
tan=c49a6c; fltan=c49a6c; taupe=8b7b6b; flblonde=e0c080; blondhair=e0c080; sand_stone=d0b890; flesh=e8b898;
flltbrown=a87848; ltbrown=a87848; brown=6b4226; flbrown=6b4226; brownlips=8b5a4a; brownskn=8b6040; brzskin=9b6a3c;
redwood=8a3c22; bronze=8c6030; brass=b89030; gold=d4aa30; meh=a08060; yellow=f0d020; flyellow=f0d860;
yellowbrt=fce800; lightyellow=f4eca0; yelloworng=f4b020; amber=f0a020; amber_trans=f0a020; yellow_green=a8c830;
red=c81818; ruby=a01030; fldkred=801010; dkred=801010; redbrick=9c3c28; redorange=e05020; dkorange=d06010;
florange=f08020; jetflame=f06010; pink=f0a0b8; iris=6050b0; periwinkle=8890d8; violet=8040a0; purple=702090;
flpurple=702090; lavendar=b8a8d8; sky_blue=80b8e8; sapphire=2040a0; blue_pure=1020d0; bluegrey=6c7c90; bluteal=207890;
dkblue=102060; navy_blue=101850; aqua=30b8c0; lime=70d020; green=209030; emerald=108050; mintgrn=98d8b0;
mintgm=98d8b0; pale_green=a8d8a0; lcdgreen=90a878; ship2=607080; glass=c0d8e0; glasstransparent=d0e0e8;
glassblutint=a8c8e0; bluetint=a8c8e0; aqua_filter=a0d8d8; smoked_glas=505860
""")


def plain(name: str) -> str:
    """A catalogue's name as a person would say it, without sizes and finishes; empty where nobody would point at it."""
    said = re.sub(r"^bookcase \d+x\d+$", "office cabinet", name.strip().lower())  # they have doors
    said = re.sub(r"\s+", " ", re.sub(r"\b\d+(x\d+)?°?\b", "", said)).strip()
    said = re.sub(r" (cherry|maple)$", "", said).replace("opened ", "open ").replace("gray", "grey")
    said = re.sub(r"^wood(?= )", "wooden", said)
    if said.startswith("frame "):
        return "picture"
    return "" if said in UNWANTED else SAID.get(said, said)


def material(name: str) -> str:
    """A material of the program's as lines of an MTL file; what is called by glass is seen through."""
    red, green, blue = (int(SHADES[name][i : i + 2], 16) / 255 for i in (0, 2, 4))
    opacity = 0.4 if re.search("glas|tint|trans|filter", name) else 1.0
    return f"newmtl {name}\nKd {red:.3f} {green:.3f} {blue:.3f}\nd {opacity}\n"
