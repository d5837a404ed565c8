"""The look of every page that is written: whole in itself, with no script, picture or style from elsewhere.

Knows HTML. Knows nothing of what stands on a page.
"""

from __future__ import annotations

import base64
import io
from html import escape

from PIL import Image

_STYLE = """
:root{--bg:#fbfaf7;--ink:#22252b;--soft:#8a8f98;--line:#e4e1da;--card:#fff;--said:#c65400;--true:#00855f}
@media(prefers-color-scheme:dark){:root{--bg:#17191d;--ink:#e9e7e2;--soft:#8f949c;--line:#33373e;--card:#1f2227;
--said:#ff9147;--true:#3ccf9f}}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:1180px;margin:0 auto;padding:28px 20px 60px}h1{font-size:1.7rem;margin:0 0 4px}
h2{font-size:1.2rem;margin:38px 0 12px}p.lead{color:var(--soft);margin:0 0 22px;overflow-wrap:anywhere}
nav a{margin-right:16px;color:var(--said)}nav{margin-bottom:20px}.cards,.charts,.cases{display:grid;gap:14px}
.cards{grid-template-columns:repeat(auto-fill,minmax(230px,1fr))}
.charts{grid-template-columns:repeat(auto-fill,minmax(300px,1fr))}
.cases{grid-template-columns:repeat(auto-fill,minmax(260px,1fr))}
.card,figure{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px;margin:0}
.card b{display:block;font-size:2rem;line-height:1.2;font-variant-numeric:tabular-nums}
.card small{color:var(--soft)}.card b small{font-size:.9rem;font-weight:400;white-space:nowrap}
.card table{font-size:.85rem}.card tr:last-child td{border:0}details{margin:16px 0}summary{cursor:pointer}
pre{overflow-x:auto}.wide{grid-template-columns:repeat(auto-fill,minmax(420px,1fr))}
.two{display:grid;grid-template-columns:1fr 1fr;gap:8px}figcaption{font-weight:600;margin-bottom:6px}
svg{width:100%;height:auto;font:12px system-ui,sans-serif}svg text{fill:var(--soft)}svg text.key{font-weight:600}
svg text.key[fill="var(--said)"]{fill:var(--said)}svg text.key[fill="var(--true)"]{fill:var(--true)}
svg text.value{fill:var(--ink);font-size:10px}.grid{stroke:var(--line)}
.ideal{stroke:var(--soft);stroke-dasharray:4 4}.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:5px 12px 5px 0;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
td.n,th.n{text-align:right}td{overflow-wrap:anywhere}.card td+td{overflow-wrap:normal}.case{padding:0;overflow:hidden}
.case img{width:100%;height:230px;object-fit:contain;background:#0001;display:block;cursor:zoom-in}
.case div{padding:10px 14px}.case p{margin:0}.case .meta{color:var(--soft);font-size:.85rem}.tag{font-weight:600}
.true{color:var(--true)}.said{color:var(--said)}dialog{border:0;padding:0;background:none;max-width:96vw}
dialog img{max-width:96vw;max-height:92vh}dialog::backdrop{background:#000c}
"""
_SCRIPT = """
const box=document.querySelector('dialog'),shown=box.querySelector('img');
document.querySelectorAll('.case img').forEach(i=>i.onclick=()=>{shown.src=i.src;box.showModal()});
box.onclick=()=>box.close();
"""


def page(title: str, body: str, head: str = "") -> str:
    """A whole HTML page of this look; pictures in `.case` open larger at a click."""
    top = head or f"<h1>{escape(title)}</h1>"
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{escape(title)}</title><style>{_STYLE}</style><main>{top}{body}</main>"
        f"<dialog><img alt='the picture, larger'></dialog><script>{_SCRIPT}</script></html>\n"
    )


def data_url(picture: Image.Image) -> str:
    """A picture as text that a page may hold."""
    packed = io.BytesIO()
    picture.save(packed, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(packed.getvalue()).decode()
