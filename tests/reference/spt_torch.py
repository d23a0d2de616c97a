"""The Sparse Pixel Transformer in PyTorch: the numeric reference.

Runs on Debian's python3-torch (1.13) or later. state_dict names are those of a checkpoint.
"""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class PositionalEncoding(nn.Module):
    """sin/cos of 2*pi*f*u interleaved per frequency (D/2 features), then the same for v."""

    def __init__(self, dim, max_freq):
        super().__init__()
        self.register_buffer("freqs", torch.logspace(0, math.log10(max_freq), dim // 4))

    def forward(self, uv):
        parts = []
        for axis in (0, 1):
            angle = 2 * math.pi * self.freqs * uv[..., axis:axis + 1]
            parts.append(torch.stack([angle.sin(), angle.cos()], -1).flatten(-2))
        return torch.cat(parts, -1)


class StateEncoder(nn.Module):
    def __init__(self, state_dim, dim):
        super().__init__()
        self.linear = nn.Linear(state_dim, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, state, mask):
        return self.norm(self.linear(state * mask)).unsqueeze(1)


class DecoderLayer(nn.TransformerDecoderLayer):
    """torch's pre-norm decoder layer; without self-attention (and norm1) when self_attn == 'none'."""

    def __init__(self, dim, heads, ff, dropout, self_attn):
        super().__init__(dim, heads, ff, dropout, batch_first=True, norm_first=True)
        if self_attn == "none":
            del self.self_attn, self.norm1, self.dropout1

    def forward(self, x, memory, padding, need_weights):
        if hasattr(self, "self_attn"):
            h = self.norm1(x)
            x = x + self.dropout1(self.self_attn(h, h, h, need_weights=False)[0])
        a, w = self.multihead_attn(self.norm2(x), memory, memory, key_padding_mask=padding,
                                   need_weights=need_weights, average_attn_weights=False)
        x = x + self.dropout2(a)
        h = self.linear2(self.dropout(self.activation(self.linear1(self.norm3(x)))))
        return x + self.dropout3(h), w


class BasicBlock(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.conv1 = nn.Conv2d(dim, dim, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(dim)
        self.conv2 = nn.Conv2d(dim, dim, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(dim)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + x)


class PatchHead(nn.Module):
    """Head for p x p patch queries: (B,D,H/p,W/p) -> (B,1,H,W); with prefill a residual on its first plane."""

    def __init__(self, dim, patch, width, full=16, prefill=False):
        super().__init__()
        self.patch, self.prefill = patch, prefill
        self.proj = nn.Conv2d(dim, width, 1)
        self.add_module("0", BasicBlock(width))
        self.add_module("1", BasicBlock(width))
        self.up = nn.Conv2d(width, full * patch * patch, 3, padding=1)
        self.full = nn.Sequential(nn.Conv2d(full + (2 if prefill else 0), full, 3, padding=1), nn.ReLU(),
                                  nn.Conv2d(full, full, 3, padding=1), nn.ReLU())
        self.out = nn.Conv2d(full, 1, 3, padding=1)

    def forward(self, x, pre, stages):
        x = getattr(self, "1")(getattr(self, "0")(self.proj(x)))
        stages["refine.blocks"] = x
        x = F.pixel_shuffle(self.up(x), self.patch)
        stages["refine.shuffled"] = x
        if self.prefill:
            return pre[:, :1] + self.out(self.full(torch.cat([x, pre], 1)))
        return torch.sigmoid(self.out(self.full(x)))


class Layers(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)


class SparsePixelTransformer(nn.Module):
    def __init__(self, dim=256, heads=8, enc=6, dec=4, ff=1024, state_dim=64, dropout=0.0, skip=False,
                 skip_weight=1.0, self_attn="none", max_freq=10, coordinates="centres", patch=1, head_width=0,
                 prefill=False, error_head=False):
        super().__init__()
        self.patch = patch
        self.dim, self.skip, self.skip_weight, self.coordinates = dim, skip, skip_weight, coordinates
        self.pixel_embed = nn.Linear(3, dim)
        self.state_encoder = StateEncoder(state_dim, dim)
        self.pos_encoder = PositionalEncoding(dim, max_freq)
        self.encoder = Layers(nn.TransformerEncoderLayer(dim, heads, ff, dropout, batch_first=True,
                                                         norm_first=True) for _ in range(enc))
        if skip:
            self.skip_proj = nn.Sequential(nn.Linear(dim, dim), nn.Dropout(0.0), nn.LayerNorm(dim))
        self.decoder = Layers(DecoderLayer(dim, heads, ff, dropout, self_attn) for _ in range(dec))
        if patch > 1:
            self.refine_head = PatchHead(dim, patch, head_width or dim, prefill=prefill)
        else:
            self.refine_head = nn.Sequential(BasicBlock(dim), BasicBlock(dim), nn.Conv2d(dim, 1, 3, padding=1),
                                             nn.Sigmoid())
        if error_head:
            last = self.refine_head.out if patch > 1 else self.refine_head[2]
            self.error_head = nn.Conv2d(last.in_channels, 1, 3, padding=1)
            last.register_forward_pre_hook(lambda _, x: setattr(self, "features", x[0]))

    def scale(self):
        """Of the last forward pass: the expected absolute error of each pixel (B,1,H,W)."""
        return F.softplus(self.error_head(self.features)) + 1e-3

    def queries(self, H, W, dtype):
        if self.coordinates == "seed":
            y, x = torch.linspace(0, 1, H), torch.linspace(0, 1, W)
        else:
            y, x = (torch.arange(H) + 0.5) / H, (torch.arange(W) + 0.5) / W
        yy, xx = torch.meshgrid(y, x, indexing="ij")
        return torch.stack([xx.flatten(), yy.flatten()], 1).to(dtype)

    def forward(self, pixels, state, state_mask, resolution, valid=None, pre=None, stages=None, attention=False):
        """pixels (B,N,3), state/state_mask (B,S), valid (B,N) bool or None, resolution (H,W), multiples of patch;
        pre (B,2,H,W): interpolated values and distance to the nearest sample over the mean spacing sqrt(H*W/N).
        Returns (B,1,H,W), and with attention=True also (B,heads,queries,N+1)."""
        stages = {} if stages is None else stages
        B, (H, W) = pixels.shape[0], (resolution[0] // self.patch, resolution[1] // self.patch)
        tokens = self.pixel_embed(pixels) + self.pos_encoder(pixels[..., :2])
        token0 = self.state_encoder(state, state_mask)
        stages["pixel_tokens"], stages["state_token"] = tokens, token0
        padding = None
        if valid is not None:
            padding = torch.cat([torch.zeros(B, 1, dtype=torch.bool), ~valid], 1)
        x = torch.cat([token0, tokens], 1)
        for i, layer in enumerate(self.encoder.layers):
            x = layer(x, src_key_padding_mask=padding)
            stages[f"encoder.{i}"] = x
        memory = x
        x = self.pos_encoder(self.queries(H, W, pixels.dtype)).unsqueeze(0).expand(B, -1, -1)
        weights, last = None, len(self.decoder.layers) - 1
        for i, layer in enumerate(self.decoder.layers):
            x, weights = layer(x, memory, padding, attention and i == last)
            stages[f"decoder.{i}"] = x
        if self.skip:
            keep = (torch.ones(B, pixels.shape[1]) if valid is None else valid).to(x.dtype).unsqueeze(-1)
            mean = (memory[:, 1:] * keep).sum(1, keepdim=True) / keep.sum(1, keepdim=True)
            x = x + self.skip_weight * self.skip_proj(mean)
        x = x.view(B, H, W, self.dim).permute(0, 3, 1, 2)
        if self.patch > 1:
            x = self.refine_head(x, pre, stages)
            return (x, weights) if attention else x
        for i, part in enumerate(self.refine_head):
            x = part(x)
            stages[f"refine.{i}"] = x
        return (x, weights) if attention else x


def sampled_l2(pred, target, uv, coordinates, valid=None):
    """Mean squared error at the sampled pixels, over all valid samples of the batch."""
    B, _, H, W = pred.shape
    uv = uv.float()
    size = torch.tensor([W, H], dtype=torch.float32)
    xy = (uv * (size - 1) if coordinates == "seed" else uv * size).long()
    x, y = xy[..., 0].clamp(0, W - 1), xy[..., 1].clamp(0, H - 1)
    index = y * W + x
    error = (pred.reshape(B, -1).gather(1, index) - target.reshape(B, -1).gather(1, index)) ** 2
    return error.mean() if valid is None else error[valid].mean()


def nll(pred, scale, target):
    """Laplace's negative log likelihood, mean over pixels."""
    return ((pred - target).abs() / scale + torch.log(2 * scale)).mean()


def attention_entropy(weights, resolution, eps=1e-9):
    """weights (B,heads,H*W,K) -> entropy of the head mean (B,H,W), and the map scaled per frame."""
    a = weights.mean(1)
    e = -(a * torch.log(a + eps)).sum(-1).view(-1, *resolution)
    low, high = e.amin((1, 2), keepdim=True), e.amax((1, 2), keepdim=True)
    return e, (e - low) / (high - low + eps)
