#!/usr/bin/python3
"""PSNR and SSIM against skimage on noisy frames of several sizes; MS-SSIM, whose padding of odd sides is
torch's, against torch's own pooling."""
import os
import subprocess

import numpy as np
import torch
import torch.nn.functional as F
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

program = os.path.join(os.environ["SGAPS_TESTS"], "unit", "metric")


def ms_ssim(a, b):
    x, y = (torch.from_numpy(v).double()[None, None] for v in (a, b))
    g = torch.exp(-(torch.arange(11).double() - 5) ** 2 / 4.5)
    g = g / g.sum()
    product, weights = 1.0, [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]
    for level, weight in enumerate(weights):
        mx, my, xx, yy, xy = (F.conv2d(F.conv2d(v, g[None, None, None]), g[None, None, :, None])
                              for v in (x, y, x * x, y * y, x * y))
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        cs = (2 * (xy - mx * my) + c2) / (xx - mx * mx + yy - my * my + c2)
        term = (cs * (2 * mx * my + c1) / (mx * mx + my * my + c1) if level == 4 else cs).mean().item()
        product *= max(term, 0) ** weight
        x, y = (F.avg_pool2d(v, 2, padding=[s % 2 for s in v.shape[2:]]) for v in (x, y))
    return product


sizes = [(224, 224), (112, 112), (11, 13), (160, 120), (333, 171), (162, 201)]
print(f"1..{5 * len(sizes)}")
number = 0
for W, H in sizes:
    text = subprocess.run([program, "dump", str(W), str(H), str(W + H)], check=True, capture_output=True,
                          text=True).stdout.split()
    got = [float(x) for x in text[:5]]
    a, b = np.array(text[5:], np.uint8).reshape(2, H, W)
    want = [peak_signal_noise_ratio(a, b, data_range=255),
            structural_similarity(a, b, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False),
            structural_similarity(a, b, data_range=255),
            np.abs(a.astype(float) - b).mean(), ms_ssim(a, b) if min(W, H) > 160 else np.nan]
    for name, g, w in zip(["PSNR", "SSIM", "SSIM-7u", "MAE", "MS-SSIM"], got, want):
        number += 1
        print("ok" if abs(g - w) < 1e-9 or np.isnan(g) and np.isnan(w) else "not ok", number, "-", f"{name} {W}x{H}: {g:.12f}, skimage {w:.12f}")
