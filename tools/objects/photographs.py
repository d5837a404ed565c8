"""Stage photographs of single things from an unpacked GCompris tree: cut out by ISNet, named by the table below.

Knows which pictures show one thing and what a person would call it. Knows nothing of the network or the README format.
Ships public domain and CC0 only.

    python tools/objects/photographs.py GCOMPRIS_TREE ISNET_ONNX MASK_CACHE STAGING
"""

import sys
from pathlib import Path

import numpy as np
from cutout import Cutter, complaint
from emoji import pairs
from PIL import Image
from readmes import pictures
from staging import crop, write_lines, write_object

SOURCE = "gcompris-qt-data 3.1-2"
LONGEST = 200

# folder/stem=the name a person would say[/kind, where it is not the last word]. A picture not named is not shipped.
NAMES = """
fishes/fish1=striped angelfish/fish; fishes/fish2=slim blue fish; fishes/fish3=striped fish; fishes/fish5=pink fish;
fishes/fish12=silver fish; fishes/fish13=spotted brown fish; fishes/fish14=pink fish; fishes/fish15=green fish;
fishes/fish16=silver fish; fishes/fish17=long silver fish; fishes/fish18=red fish; fishes/fish19=sea bream/fish;
fishes/fish21=silver fish; fishes/fish22=striped fish; fishes/fish23=slim fish; fishes/fish24=slim green fish;
fishes/fish25=goldfish/fish; fishes/fish26=slim silver fish; fishes/fish27=slim brown fish;
fishes/fish28=pufferfish/fish; fishes/fish8=salmon/fish; monuments/IndiaGate=stone arch;
monuments/arcDeTriomphe=triumphal arch; monuments/bayterek=tall tower; monuments/brandenburgGate=city gate;
monuments/cathedral=cathedral; monuments/christTheRedeemer=Christ statue; monuments/colosseum=amphitheatre;
monuments/jucheTower=stone tower; monuments/kutubMinar=minaret/tower; monuments/leaningTowerOfPisa=leaning tower;
monuments/monument1=domed mosque; monuments/monument2=ruined temple; monuments/operaHouse=opera house/opera house;
monuments/parthenon=Greek temple; monuments/statueOfLiberty=green statue; monuments/victoriaMemorial=white monument;
monuments/zimniPalace=palace; france/chateaudeChambord=castle; france/chateaudeChenonceau=castle;
france/eiffelTower=Eiffel Tower/tower; france/arlesAmphitheater=amphitheatre; france/pontduGard=stone bridge;
germany/berlinCathedral=cathedral; germany/schwerinPalace=palace; egypt/bentPyramid=pyramid;
egypt/greatPyramidOfGiza=pyramid; india/greatStupa=stupa; india/rangGhar=pavilion;
india/victoriaMemorial=domed palace; usa/cabrillo=stone statue; others/baseball=baseball/ball;
others/bucket=wooden bucket; others/buffetset=cup and saucer/cup; others/bulb=light bulb/light bulb;
others/chair=wooden chair; others/cup=teacup/cup; others/erasers=eraser; others/pan=frying pan; others/pillow=pillow;
others/plate=plate; others/volleyball=volleyball/ball; others/weighingMachine=kitchen scale;
renewable/solar1=solar cooker; renewable/solar7=solar panel/solar panel; renewable/solar8=solar panel/solar panel;
renewable/windmill=windmill; renewable/windmill1=windmill; renewable/windmill11=windmill;
renewable/windmill12=windmill; renewable/windmill14=windmill; renewable/windmill15=windmill;
renewable/windmill2=windmill; renewable/windmill4=windmill; renewable/windmill5=windmill;
renewable/windmill7=windmill; renewable/windmill9=windmill; tools/cuttingTool=pliers; tools/hammer1=hammer;
tools/hammer2=hammer; tools/hammer4=hammer; tools/hammer5=hammer; tools/hammer6=hammer; tools/hammer7=hammer;
tools/hammer8=hammer; tools/hammer9=hammer; tools/measuringTape1=tape measure/tape measure;
tools/measuringTape2=tape measure/tape measure; tools/measuringTape3=measuring tape/tape measure;
tools/measuringTape4=measuring tape/tape measure; tools/measuringTape5=tape measure/tape measure;
tools/measuringTape6=tape measure/tape measure; tools/multimeter1=multimeter; tools/multimeter2=multimeter;
tools/multimeter3=multimeter; tools/nailCutter=nail clipper; tools/plier1=pliers; tools/plier2=pliers;
tools/plier3=pliers; tools/plier4=pliers; tools/scissors1=scissors; tools/scissors2=scissors;
tools/scissors4=scissors; tools/screwDriver1=screwdriver; tools/screwDriver2=screwdriver; tools/sickle=sickle;
tools/sideCutter1=side cutters/pliers; tools/spray=spray bottle; tools/wrench=wrench; tools/wrench1=wrench;
erase/red_panda=red panda; erase/crab=crab; erase/kingfisher=kingfisher/bird; animals/cat=cat; animals/cow=cow;
animals/dog=dog; animals/duck=duck; animals/pig=pig; animals/sheep=sheep; animals/bison=bison;
animals/chameleon=chameleon; animals/crocodile=crocodile; animals/dragon=lizard; animals/hedgehog=hedgehog;
animals/kangaroo=kangaroo; animals/koala=koala; animals/moose=moose; animals/panda=panda;
animals/polar_bear=polar bear; animals/scarlet_macaw=parrot; music/middleeast=lute; solar_system/earth=Earth/planet;
solar_system/jupiter=planet Jupiter/planet; solar_system/mars=planet Mars/planet;
solar_system/mercury=planet Mercury/planet; solar_system/neptune=planet Neptune/planet;
solar_system/saturn=planet Saturn/planet; solar_system/uranus=planet Uranus/planet;
solar_system/venus=planet Venus/planet; solar_system/sun=sun
"""
TAGS = {
    "fishes": "animal",
    "animals": "animal",
    "erase": "animal",
    "tools": "tool",
    "solar_system": "sky",
    "music": "instrument",
}
TAGS |= dict.fromkeys(("monuments", "france", "germany", "egypt", "india", "usa"), "building")


def objects(tree: Path, cutter: Cutter, staging: Path) -> list[dict]:
    """Cut out, judge and write the named pictures under STAGING/photo; return the staging lines, by path."""
    names = pairs(NAMES)
    known = {p.key: p for p in pictures(tree) if p.licence in ("PD", "CC0-1.0")}
    missing = sorted(set(names) - set(known))
    if missing:
        raise ValueError(f"the table names {missing}, not public-domain pictures of this tree; take them out")
    lines = []
    for key in sorted(names):
        picture = known[key]
        name, _, kind = names[key].partition("/")
        with Image.open(picture.path) as image:
            rgba = image.convert("RGBA")
        if rgba.getchannel("A").getextrema()[0] == 255:  # no alpha of its own
            mask = cutter.mask(rgba.convert("RGB"), key)
            reason = complaint(np.asarray(mask))
            if reason:
                print(f"left out {key}: {reason}")
                continue
            rgba.putalpha(mask)
        line = write_object(staging, f"photo/{key}", crop(rgba, LONGEST), name=name, kind=kind or name.split()[-1])
        credit = {"source": SOURCE, "licence": picture.licence, "author": picture.author}
        lines.append(line | credit | {"tags": [TAGS.get(key.split("/")[0], "thing"), "photograph"], "url": picture.url})
    return lines


if __name__ == "__main__":
    if len(sys.argv) != 5:
        raise SystemExit(__doc__)
    tree_, onnx_, cache_, staging_ = map(Path, sys.argv[1:])
    print(write_lines(staging_ / "photographs.jsonl", objects(tree_, Cutter(onnx_, cache_), staging_)), "photographs")
