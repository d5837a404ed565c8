"""A folded network says what it said: zeros before a convolution go into it, whichever sides they stand on."""

from types import SimpleNamespace

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from perceptiongpt.model.folding import folded


class Net(nn.Module):
    def __init__(self, zeros: tuple[int, int, int, int], kernel: tuple[int, int], stride: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.zeros = nn.ZeroPad2d(zeros)
            self.conv = nn.Conv2d(4, 4, kernel, stride, groups=4, bias=seed % 2 == 0)
            self.norm = nn.BatchNorm2d(4)
            nn.init.uniform_(self.norm.running_mean)
            nn.init.uniform_(self.norm.weight)
        self.requires_grad_(False).eval()

    def forward(self, pixels: Tensor, output_hidden_states: bool) -> SimpleNamespace:
        return SimpleNamespace(hidden_states=(self.norm(self.conv(self.zeros(pixels))),))


@given(st.tuples(*[st.integers(0, 3)] * 4), st.tuples(*[st.integers(1, 5)] * 2), st.integers(1, 3), st.integers(0, 99))
def test_zeros_on_any_side_go_into_the_convolution_after_them(
    zeros: tuple[int, int, int, int], kernel: tuple[int, int], stride: int, seed: int
) -> None:
    net = Net(zeros, kernel, stride, seed)
    pixels = torch.rand(1, 4, 9, 8, generator=torch.Generator().manual_seed(seed))
    lean = folded(net, pixels)
    assert lean is not net and isinstance(lean.norm, nn.Identity)
    assert isinstance(lean.zeros, nn.Identity) == (stride > 1)
    other = torch.rand(2, 4, 12, 11, generator=torch.Generator().manual_seed(seed + 1))
    with torch.no_grad():
        said, again = (m(other, True).hidden_states[0] for m in (net, lean))
    assert torch.allclose(said, again, atol=1e-5)
    assert isinstance(net.zeros, nn.ZeroPad2d) and net.conv.kernel_size == kernel  # the one given stays as it is
