"""The interactive perception network: a request of the language model's goes in, K reply vectors come out (LMEye, 2.2).

Two networks, one interface: `prepare` once a picture, then `forward(request, sources)` gives replies and where they
looked. Unlike the released program they may read the un-pooled patch grid, which the static path has not delivered.
Knows patches and vectors; nothing of tokens, places or caches (model/requests.py).

P pictures, n patches or static tokens, C their width, D width of the language model, d of the network, K replies,
N requests.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perceptiongpt.model.backbone import Look
from perceptiongpt.model.fusion import LayerFusion
from perceptiongpt.model.limits import refuse_outside
from perceptiongpt.tasks.positions import fourier, grid_xy

BANDS = 6
HEADS = 4
_LIMITS = {"replies": (1, 64), "width": (16, 4096), "depth": (1, 12), "static_tokens": (0, 1024), "limit": (1, 64)}
_CHOICES = {
    "network": ("rvii", "linear"),
    "reads": ("grid", "tokens"),
    "arm": ("full", "unasked", "constant", "static"),
}


@dataclass(frozen=True, kw_only=True)
class AskSettings:
    """What an asking plug-in is built of. `arm` is the experiment's flag (papers.md 2.5), `full` the method.

    The fifth arm, requests shuffled among the batch, is `Asker.shuffled` of a trained full one.
    """

    network: str = "rvii"
    reads: str = "grid"  # the un-pooled patches, or as released the "tokens" that the language model has read anyway
    arm: str = "full"  # "unasked": a learned constant for the request; "constant": constant replies; "static": none
    replies: int = 5  # K
    width: int = 256  # d
    depth: int = 3
    static_tokens: int = 0  # a square number of tokens by a mapping of its own; 0: the host's own image tokens
    forced: bool = True  # the template writes <ask> before each answer; False: the model says it in mid-answer
    limit: int = 8  # requests in one dialogue
    request_dropout: float = 0.1  # share of requests that training replaces by the learned constant

    def __post_init__(self) -> None:
        refuse_outside(self, _LIMITS, _CHOICES, "ask.")
        if self.width % HEADS:
            raise ValueError(f"ask.width is {self.width}; wanted a multiple of {HEADS}, for as many heads")
        if round(self.static_tokens**0.5) ** 2 != self.static_tokens:
            raise ValueError(f"ask.static_tokens is {self.static_tokens}; wanted a square number, or 0 for the host's")
        if self.arm == "static" and not self.static_tokens:
            raise ValueError("ask.arm is 'static' with the host's own tokens, so nothing is added; set static_tokens")
        if not isinstance(self.forced, bool):
            raise ValueError(f"ask.forced is {self.forced!r}; wanted true or false")
        share = self.request_dropout
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share < 1:
            raise ValueError(f"ask.request_dropout is {share!r}; wanted a share from 0 to below 1")


class Asker(nn.Module):
    """All that is added so that the language model can ask: tokens, static mapping, network, gate."""

    def __init__(
        self,
        settings: AskSettings,
        width: int,
        feature_width: int,
        feature_layers: int,
        native_layer: int,
        row_norm: float,
    ) -> None:
        super().__init__()
        self.settings, self.width = settings, width
        self.scale = row_norm / width**0.5  # an RMS-normed vector has norm sqrt(D)
        self.shuffled = False  # arm (e): each request is answered to its neighbour in the batch
        s = settings
        fused = (feature_layers, native_layer)
        self.static = StaticMapping(s.static_tokens, feature_width, width, fused) if s.static_tokens else None
        self.row: nn.Parameter | None = None  # the output row of <ask>, where the model may say it
        if s.arm == "static":
            return
        self.ask = nn.Parameter(torch.randn(width) * self.scale)  # the embedding of <ask>
        self.base = nn.Parameter(torch.randn(s.replies, width) * self.scale)  # what the reply places hold by themselves
        if not s.forced:
            self.row = nn.Parameter(torch.zeros(1, width))
        if s.arm == "constant":
            return
        on_grid = s.reads == "grid"
        self.fusion = LayerFusion(fused[0], [fused[1]]) if on_grid else None
        self.gate = nn.Parameter(torch.zeros(width))  # fresh, the replies do not depend on the picture
        source = feature_width if on_grid else width
        self.network = NETWORKS[s.network](source, width, s.width, s.depth, s.replies, pooled=not on_grid)
        constant = s.arm == "unasked" or s.request_dropout > 0
        self.silence = nn.Parameter(torch.randn(width)) if constant else None

    def look(self, look: Look) -> tuple[tuple[Tensor, ...], Tensor | None, tuple[int, int]]:
        """What the language model reads of P pictures, what requests look at [P, n, d], and its height and width."""
        with torch.autocast(look.cells.device.type, enabled=False):
            tokens, cells = look.tokens, look.cells.float()  # [P, D, h, w]
            if self.static is not None:
                cells = self.static(look.layers) * self.scale
                tokens = tuple(cells.flatten(2).transpose(1, 2).to(look.tokens[0].dtype))
            if self.settings.arm in ("static", "constant"):
                return tokens, None, (0, 0)
            source = cells.permute(0, 2, 3, 1) if self.fusion is None else self.fusion(look.layers)  # [P, h, w, C]
            return tokens, self.network.prepare(source), (source.shape[1], source.shape[2])

    def reply(
        self, request: Tensor, sources: Tensor | None, picture: Tensor, seed: int | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """States at `<ask>` [N, D], the pictures' sources [P, n, d] and which one each asks about: long [N].

        Returns [N, K, D] to write after `<ask>`, and how each looked over its n places [N, n], rows summing to 1 (None
        where it cannot be told). `seed` draws which requests are dropped in training.
        """
        base = self.base.expand(len(request), -1, -1)
        if sources is None:
            return base, None
        with torch.autocast(request.device.type, enabled=False):
            request = F.layer_norm(request.float(), (self.width,))
            if self.shuffled:
                request = request.roll(1, 0)
            drop = self._dropped(len(request), seed)
            if self.silence is not None and drop is not None:
                request = torch.where(drop.to(request.device)[:, None], self.silence, request)
            said, looked = self.network(request, sources[picture])
            return base + self.gate * F.rms_norm(said, (self.width,)) * self.scale, looked

    def _dropped(self, count: int, seed: int | None) -> Tensor | None:
        """Which of `count` requests are replaced by the constant: bool [N]; None for none."""
        if self.settings.arm == "unasked":
            return torch.ones(count, dtype=torch.bool)
        if not self.training or seed is None or not self.settings.request_dropout:
            return None
        # A function of the batch: a resumed run drops the same requests.
        return torch.rand(count, generator=torch.Generator().manual_seed(seed)) < self.settings.request_dropout


class StaticMapping(nn.Module):
    """Layers of the vision tower, each [P, h, w, C] -> S static tokens [P, D, s, s], once, whatever is asked."""

    def __init__(self, tokens: int, feature_width: int, width: int, fused: tuple[int, int]) -> None:
        super().__init__()
        self.side, self.width = round(tokens**0.5), width
        self.fusion = LayerFusion(fused[0], [fused[1]])
        self.map = nn.Linear(feature_width + 4 * BANDS, width)

    def forward(self, layers: tuple[Tensor, ...]) -> Tensor:
        return self.tokens(self.fusion(layers))

    def tokens(self, fused: Tensor) -> Tensor:
        """The fused layers [P, h, w, C] as tokens."""
        features = F.adaptive_avg_pool2d(fused.permute(0, 3, 1, 2), self.side).permute(0, 2, 3, 1)
        place = _places(self.side, self.side, features)
        tokens = self.map(torch.cat([features, place.expand(len(features), -1, -1, -1)], dim=-1))
        return F.rms_norm(tokens, (self.width,)).permute(0, 3, 1, 2)


class Block(nn.Module):
    """One layer: attention of x over a memory and itself, then an MLP; both added to x, normed before.

    Few ask, many are looked at: so the questions are taken to the memory's own vectors, q · (W m) = (qW) · m, and W is
    never applied to the memory. The same numbers, a tenth of the products.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.query, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.key, self.value = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor, memory: Tensor | None = None, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x [N, q, d], memory [N, n, d] -> [N, q, d] and the attention's weights [N, q, n + q]."""
        asking = self.norm(x)
        q, k, v = (p(asking).unflatten(-1, (HEADS, -1)).transpose(1, 2) for p in (self.query, self.key, self.value))
        q = q * q.shape[-1] ** -0.5  # [N, heads, q, d / heads]
        logits = q @ k.transpose(-2, -1)
        if mask is not None:
            logits = logits.masked_fill(mask, float("-inf"))
        if memory is None:
            weights = logits.softmax(-1)
            mixed = weights @ v
        else:
            keys, values = (p.weight.unflatten(0, (HEADS, -1)) for p in (self.key, self.value))  # [heads, d / heads, d]
            far = (q @ keys).flatten(1, 2) @ memory.transpose(1, 2)  # [N, heads * q, n]
            weights = torch.cat([far.unflatten(1, (HEADS, -1)), logits], dim=-1).softmax(-1)
            seen, own = weights.split([memory.shape[1], x.shape[1]], dim=-1)
            found = (seen.flatten(1, 2) @ memory).unflatten(1, (HEADS, -1))  # [N, heads, q, d]
            mixed = found @ values.transpose(1, 2) + own @ v
        x = x + self.out(mixed.transpose(1, 2).flatten(-2))
        return x + self.mlp(x), weights.mean(1)


class Rvii(nn.Module):
    """Request-based visual information interaction (LMEye's later version): K request vectors read the picture.

    There a transformer over [image tokens, requests]; here the requests attend to the patches and to one another.
    """

    def __init__(self, source: int, width: int, inner: int, depth: int, replies: int, pooled: bool) -> None:
        super().__init__()
        self.offer, self.place = _offer(source, inner), nn.Linear(4 * BANDS, inner)
        self.acquire = nn.Linear(width, replies * inner)
        self.requests = nn.Parameter(torch.randn(replies, inner))
        self.blocks = nn.ModuleList(Block(inner) for _ in range(depth))
        self.transmit = nn.Sequential(nn.LayerNorm(inner), nn.Linear(inner, width))

    def prepare(self, features: Tensor) -> Tensor:
        """Features [P, h, w, C] with their places -> [P, h * w, d], once a picture."""
        return _norm(
            self.offer(features) + self.place(_places(features.shape[1], features.shape[2], features))
        ).flatten(1, 2)

    def forward(self, request: Tensor, sources: Tensor) -> tuple[Tensor, Tensor | None]:
        x = self.acquire(request).unflatten(-1, self.requests.shape) + self.requests  # [N, K, d]
        looked = []
        for block in self.blocks:
            x, weights = block(x, sources)
            looked.append(weights[..., : sources.shape[1]].mean(1))  # [N, n]
        shares = torch.stack(looked).mean(0)
        return self.transmit(x), shares / shares.sum(-1, keepdim=True)


class Linear(nn.Module):
    """Linear acquire, decompose and transmit with causal mixing between (LMEye's first version).

    The request stands after the image's parts, so it sees them. As released the parts are K pieces of one pooled
    vector; on the grid each patch is a part. The mixing transformer there is a frozen one, here it learns.
    """

    def __init__(self, source: int, width: int, inner: int, depth: int, replies: int, pooled: bool) -> None:
        super().__init__()
        self.replies = replies
        self.offer, self.place = _offer(source, inner), nn.Linear(4 * BANDS, inner)
        self.acquire = nn.Linear(width, inner)
        self.decompose = nn.Linear(inner, replies * inner) if pooled else None
        self.mix = nn.ModuleList(Block(inner) for _ in range(depth))
        self.transmit = nn.Sequential(nn.LayerNorm(inner), nn.Linear(inner, replies * width))

    def prepare(self, features: Tensor) -> Tensor:
        """Features [P, h, w, C] -> the image's parts [P, n, d]: its patches, or K pieces of their mean."""
        offered = _norm(
            self.offer(features) + self.place(_places(features.shape[1], features.shape[2], features))
        ).flatten(1, 2)
        return offered if self.decompose is None else self.decompose(offered.mean(1)).unflatten(-1, (self.replies, -1))

    def forward(self, request: Tensor, sources: Tensor) -> tuple[Tensor, Tensor | None]:
        x = torch.cat([sources, self.acquire(request).unsqueeze(1)], dim=1)  # [N, n + 1, d]
        unseen = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)
        looked = []
        for block in self.mix:
            x, weights = block(x, mask=unseen)
            looked.append(weights[:, -1, :-1])
        shares = torch.stack(looked).mean(0) if self.decompose is None else None
        replies = self.transmit(x[:, -1]).unflatten(-1, (self.replies, -1))
        return replies, None if shares is None else shares / shares.sum(-1, keepdim=True)


NETWORKS: dict[str, type[Rvii] | type[Linear]] = {"rvii": Rvii, "linear": Linear}


def _offer(source: int, inner: int) -> nn.Module:
    return nn.Sequential(nn.LayerNorm(source), nn.Linear(source, inner))


def _norm(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:])


def _places(height: int, width: int, like: Tensor) -> Tensor:
    """2-D positions of a grid: [h, w, 4 * BANDS]."""
    return fourier(grid_xy(height, width, like.device), BANDS).unflatten(0, (height, width))
