#include "op/op_case.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/philox.h"
#include "op/op_kind.h"

// clang-format off
const struct op_case op_cases[] = {
    /* M, N, K */
    {&kind_linear, OP_CASE_TEST, 0, {1, 1, 1}},
    {&kind_linear, OP_CASE_TEST, BIAS, {37, 29, 13}},
    {&kind_linear, OP_CASE_TEST, BIAS | RELU, {64, 48, 16}},
    {&kind_linear, OP_CASE_TEST, BIAS | RESIDUAL, {19, 33, 7}},
    {&kind_linear, OP_CASE_TEST, BIAS | RESIDUAL | IN_PLACE, {41, 32, 65}},
    {&kind_linear, OP_CASE_TEST, RELU | RESIDUAL | IN_PLACE, {41, 32, 65}},
    {&kind_linear, OP_CASE_TEST, BIAS | SHARED | RESIDUAL, {24, 17, 5}},
    {&kind_linear, OP_CASE_TEST, BIAS | STRIDED, {23, 12, 31}},
    {&kind_linear, OP_CASE_TEST, BIAS, {257, 128, 131}},
    {&kind_linear, OP_CASE_TEST, BIAS, {3001, 24, 40}}, /* cuda: weight gradients in pieces from 2048 rows on */
    {&kind_linear, OP_CASE_TEST, BIAS | SHARED | RESIDUAL, {1161, 24, 16}}, /* and frames as a batch from 256 rows */
    {&kind_linear, OP_CASE_TEST, BIAS | RELU | SHARED | RESIDUAL, {30, 24, 16}},
    {&kind_linear, OP_CASE_TEST, BIAS | DROP | RESIDUAL, {37, 29, 13}},
    {&kind_linear, OP_CASE_TEST, BIAS | DROP | RELU, {64, 48, 16}},
    {&kind_linear, OP_CASE_TEST, DROP | RESIDUAL | IN_PLACE, {41, 32, 65}},
    {&kind_linear, OP_CASE_TEST, BIAS | DROP | RESIDUAL | SHARED, {27, 1036, 8}},
    {&kind_linear, OP_CASE_TEST, BIAS | DROP | STRIDED, {23, 12, 31}},
    {&kind_linear, OP_CASE_GPU, BIAS, {70001, 40, 136}},
    {&kind_linear, OP_CASE_GPU, BIAS | RESIDUAL | SHARED, {20001, 72, 64}},
    {&kind_linear, OP_CASE_GPU, BIAS | RELU | DROP, {20001, 256, 64}},
    {&kind_linear, OP_CASE_BENCH, BIAS, {12544, 128, 128}},
    {&kind_linear, OP_CASE_BENCH, BIAS, {1045, 128, 128}},
    {&kind_linear, OP_CASE_BENCH, BIAS | RELU, {1045, 256, 128}},
    {&kind_linear, OP_CASE_BENCH, BIAS | RESIDUAL, {1045, 128, 256}},
    {&kind_linear, OP_CASE_BENCH, BIAS | RELU, {12544, 256, 128}},
    {&kind_linear, OP_CASE_BENCH, BIAS | RESIDUAL | IN_PLACE, {12544, 128, 256}},
    /* B, heads, head, Tq, Tk */
    {&kind_attention, OP_CASE_TEST, 0, {1, 1, 1, 3, 2}},
    {&kind_attention, OP_CASE_TEST, 0, {2, 3, 5, 17, 13}},
    {&kind_attention, OP_CASE_TEST, RAGGED, {3, 2, 8, 53, 37}},
    {&kind_attention, OP_CASE_TEST, SHARED, {2, 4, 16, 49, 33}},
    {&kind_attention, OP_CASE_TEST, SHARED | RAGGED, {3, 1, 32, 101, 25}},
    {&kind_attention, OP_CASE_TEST, DROP, {1, 2, 7, 29, 31}},
    {&kind_attention, OP_CASE_TEST, DROP | RAGGED, {2, 1, 33, 5, 277}},
    {&kind_attention, OP_CASE_TEST, 0, {1, 2, 64, 7, 531}},
    {&kind_attention, OP_CASE_TEST, RAGGED | DROP, {3, 2, 32, 50, 1100}}, /* cuda backward: 512 or 256 keys at once */
    {&kind_attention, OP_CASE_TEST, DROP, {1, 1, 32, 21, 1031}},
    {&kind_attention, OP_CASE_TEST, SHARED | RAGGED, {2, 1, 16, 39, 521}},
    {&kind_attention, OP_CASE_TEST, RAGGED | DROP, {4, 1, 56, 33, 600}},
    {&kind_attention, OP_CASE_TEST, DROP, {2, 1, 48, 49, 257}},
    {&kind_attention, OP_CASE_TEST, STRIDED, {2, 2, 32, 33, 1}}, /* one key: its gradients are 0, nothing to compare */
    /* cuda: steps of 64 keys, tiles of 32, 64 and 128 queries, heads padded to 16s */
    {&kind_attention, OP_CASE_TEST, DROP, {1, 3, 8, 1, 16}},
    {&kind_attention, OP_CASE_TEST, RAGGED, {2, 1, 16, 15, 17}},
    {&kind_attention, OP_CASE_TEST, 0, {1, 2, 24, 127, 63}},
    {&kind_attention, OP_CASE_TEST, SHARED, {2, 1, 32, 127, 64}},
    {&kind_attention, OP_CASE_TEST, RAGGED | DROP, {2, 1, 40, 15, 65}},
    {&kind_attention, OP_CASE_TEST, DROP, {1, 1, 32, 70, 132}},
    {&kind_attention, OP_CASE_TEST, DROP, {2, 2, 64, 97, 130}},
    {&kind_attention, OP_CASE_TEST, DROP, {1, 2, 32, 127, 501}},
    {&kind_attention, OP_CASE_TEST, RAGGED | DROP, {2, 1, 32, 65, 513}},
    {&kind_attention, OP_CASE_TEST, RAGGED, {3, 1, 32, 130, 513}},
    {&kind_attention, OP_CASE_TEST, 0, {1, 4, 32, 257, 501}},
    {&kind_attention, OP_CASE_TEST, WIDE, {1, 3, 32, 130, 400}}, /* one weight takes nearly all, and the maximum moves */
    {&kind_attention, OP_CASE_TEST, WIDE | RAGGED | DROP, {2, 1, 48, 33, 300}},
    {&kind_attention, OP_CASE_TEST, STRIDED, {2, 2, 32, 65, 100}},
    {&kind_attention, OP_CASE_TEST, STRIDED | SHARED | RAGGED, {2, 2, 16, 40, 80}},
    {&kind_attention, OP_CASE_TEST, DROP, {1, 1, 96, 33, 70}},
    {&kind_attention, OP_CASE_TEST, 0, {1, 2, 300, 5, 67}},
    {&kind_attention, OP_CASE_TEST, DROP, {1, 2, 16, 40, 70}}, /* few queries: the warps of a block share them */
    {&kind_attention, OP_CASE_TEST, 0, {1, 2, 32, 60, 130}},
    {&kind_attention, OP_CASE_TEST, 0, {1, 1, 48, 33, 70}},
    {&kind_attention, OP_CASE_TEST, DROP, {1, 2, 64, 31, 70}},
    {&kind_attention, OP_CASE_TEST, DROP, {2, 2, 48, 129, 70}},
    {&kind_attention, OP_CASE_GPU, DROP, {5, 8, 16, 513, 130}}, /* many, on 132 multiprocessors and more */
    {&kind_attention, OP_CASE_GPU, 0, {5, 8, 32, 513, 501}},
    {&kind_attention, OP_CASE_GPU, RAGGED | DROP, {5, 8, 32, 513, 201}},
    {&kind_attention, OP_CASE_GPU, 0, {5, 8, 48, 513, 130}},
    {&kind_attention, OP_CASE_GPU, DROP, {5, 8, 48, 513, 130}},
    {&kind_attention, OP_CASE_GPU, 0, {5, 8, 64, 513, 130}},
    {&kind_attention, OP_CASE_GPU, DROP, {5, 8, 64, 513, 130}},
    {&kind_attention, OP_CASE_BENCH, 0, {1, 4, 32, 201, 201}},
    {&kind_attention, OP_CASE_BENCH, 0, {1, 4, 32, 12544, 201}},
    {&kind_attention, OP_CASE_BENCH, DROP, {1, 4, 32, 12544, 201}},
    /* B, heads, head, T */
    {&kind_self_attention, OP_CASE_TEST, 0, {1, 3, 8, 33}},
    {&kind_self_attention, OP_CASE_TEST, RAGGED, {2, 1, 20, 21}},
    {&kind_self_attention, OP_CASE_TEST, RAGGED | DROP, {2, 2, 32, 70}},
    {&kind_self_attention, OP_CASE_TEST, DROP, {1, 1, 32, 530}},
    /* B, heads, head, Tq, Tk */
    {&kind_importance, OP_CASE_TEST, RAGGED, {3, 2, 8, 53, 37}},
    {&kind_importance, OP_CASE_TEST, SHARED, {2, 3, 5, 17, 300}},
    {&kind_importance, OP_CASE_TEST, 0, {1, 2, 40, 15, 3}},
    {&kind_importance, OP_CASE_TEST, RAGGED, {2, 8, 32, 130, 140}},
    {&kind_importance, OP_CASE_TEST, 0, {1, 8, 32, 33, 70}}, /* cuda: 48 KB of shared memory to the byte */
    {&kind_importance, OP_CASE_TEST, 0, {1, 4, 16, 200, 65}},
    {&kind_importance, OP_CASE_TEST, SHARED, {2, 2, 64, 33, 257}},
    {&kind_importance, OP_CASE_TEST, STRIDED | RAGGED, {2, 3, 24, 129, 130}},
    {&kind_importance, OP_CASE_TEST, 0, {1, 1, 96, 20, 70}},
    {&kind_importance, OP_CASE_TEST, 0, {1, 2, 48, 20, 70}},
    {&kind_importance, OP_CASE_TEST, 0, {1, 1, 64, 150, 60}},
    {&kind_importance, OP_CASE_GPU, RAGGED, {20, 4, 32, 897, 201}},
    {&kind_importance, OP_CASE_BENCH, 0, {1, 4, 32, 12544, 201}},
    /* B, H, W, C, O */
    {&kind_conv3x3, OP_CASE_TEST, 0, {1, 1, 1, 1, 1}},
    {&kind_conv3x3, OP_CASE_TEST, BIAS, {1, 5, 7, 3, 2}},
    {&kind_conv3x3, OP_CASE_TEST, BIAS | RELU, {2, 13, 11, 16, 16}},
    {&kind_conv3x3, OP_CASE_TEST, RESIDUAL, {2, 6, 3, 17, 19}},
    {&kind_conv3x3, OP_CASE_TEST, BIAS | RESIDUAL | RELU, {1, 9, 2, 32, 48}},
    {&kind_conv3x3, OP_CASE_TEST, BIAS | ACCUMULATE, {1, 12, 12, 31, 1}},
    {&kind_conv3x3, OP_CASE_TEST, 0, {3, 1, 29, 5, 33}},
    {&kind_conv3x3, OP_CASE_TEST, ACCUMULATE, {1, 7, 5, 40, 41}},
    {&kind_conv3x3, OP_CASE_TEST, BIAS | ACCUMULATE, {2, 8, 9, 18, 16}},
    {&kind_conv3x3, OP_CASE_TEST, BIAS | RESIDUAL, {2, 5, 6, 16, 1}},
    {&kind_conv3x3, OP_CASE_TEST, 0, {1, 23, 37, 64, 64}},
    {&kind_conv3x3, OP_CASE_TEST, BIAS | RESIDUAL | RELU, {2, 29, 26, 32, 48}},
    {&kind_conv3x3, OP_CASE_TEST, ACCUMULATE, {1, 79, 81, 64, 32}}, /* Winograd from 400 tiles of 4 x 4 on */
    {&kind_conv3x3, OP_CASE_TEST, BIAS | RESIDUAL | RELU, {2, 82, 78, 32, 48}},
    {&kind_conv3x3, OP_CASE_TEST, BIAS, {3, 17, 19, 96, 32}},
    {&kind_conv3x3, OP_CASE_TEST, BIAS, {1, 1, 1, 128, 72}},
    {&kind_conv3x3, OP_CASE_TEST, BIAS | RESIDUAL | RELU | ACCUMULATE, {1, 17, 33, 72, 130}},
    {&kind_conv3x3, OP_CASE_TEST, BIAS | RESIDUAL, {1, 18, 17, 24, 136}},
    {&kind_conv3x3, OP_CASE_TEST, RESIDUAL | RELU, {2, 9, 18, 8, 72}},
    {&kind_conv3x3, OP_CASE_TEST, 0, {1, 7, 7, 16, 130}},
    {&kind_conv3x3, OP_CASE_TEST, BIAS, {1, 3, 5, 256, 64}},
    {&kind_conv3x3, OP_CASE_TEST, BIAS, {1, 9, 21, 256, 1}},
    {&kind_conv3x3, OP_CASE_TEST, BIAS | RELU, {1, 33, 7, 24, 17}},
    {&kind_conv3x3, OP_CASE_TEST, BIAS | RESIDUAL, {1, 1, 40, 8, 72}},
    {&kind_conv3x3, OP_CASE_TEST, 0, {1, 40, 1, 72, 8}},
    {&kind_conv3x3, OP_CASE_TEST, 0, {1, 5, 6, 3, 256}},
    {&kind_conv3x3, OP_CASE_TEST, BIAS | RESIDUAL, {1, 5, 6, 130, 17}},
    {&kind_conv3x3, OP_CASE_TEST, BIAS, {4, 17, 19, 96, 33}},
    {&kind_conv3x3, OP_CASE_GPU, BIAS | RESIDUAL | ACCUMULATE, {1, 177, 203, 40, 72}}, /* 156 tiles of 16 x 16 pixels */
    {&kind_conv3x3, OP_CASE_GPU, BIAS, {1, 177, 203, 18, 66}},
    {&kind_conv3x3, OP_CASE_GPU, RELU, {1, 177, 203, 18, 48}},
    {&kind_conv3x3, OP_CASE_GPU, BIAS | RESIDUAL, {2, 177, 203, 16, 72}},
    {&kind_conv3x3, OP_CASE_GPU, 0, {11, 113, 131, 32, 32}}, /* fp32: more than a piece */
    {&kind_conv3x3, OP_CASE_BENCH, 0, {1, 112, 112, 128, 128}},
    {&kind_conv3x3, OP_CASE_BENCH, BIAS, {1, 112, 112, 128, 1}},
    {&kind_conv3x3, OP_CASE_BENCH, BIAS | RELU, {1, 224, 224, 18, 16}},
    {&kind_conv3x3, OP_CASE_BENCH, 0, {4, 112, 112, 18, 16}},
    {&kind_conv3x3, OP_CASE_BENCH, 0, {4, 112, 112, 16, 16}},
    {&kind_conv3x3, OP_CASE_BENCH, 0, {4, 112, 112, 16, 1}},
    {&kind_conv3x3, OP_CASE_BENCH, BIAS, {1, 28, 28, 64, 1024}},
    /* rows, C */
    {&kind_batch_norm, OP_CASE_TEST, 0, {7, 1}},
    {&kind_batch_norm, OP_CASE_TEST, RELU, {143, 24}},
    {&kind_batch_norm, OP_CASE_TEST, RELU | RESIDUAL, {67, 37}},
    {&kind_batch_norm, OP_CASE_TEST, RESIDUAL, {35, 531}},
    {&kind_batch_norm, OP_CASE_TEST, RELU, {9, 8}},
    {&kind_batch_norm, OP_CASE_TEST, RELU, {999, 18}},
    {&kind_batch_norm, OP_CASE_TEST, RELU | RESIDUAL, {2501, 64}},
    {&kind_batch_norm, OP_CASE_TEST, RELU, {513, 128}},
    {&kind_batch_norm, OP_CASE_TEST, 0, {70, 264}},
    {&kind_batch_norm, OP_CASE_GPU, RELU | RESIDUAL, {120001, 64}},
    {&kind_batch_norm, OP_CASE_GPU, RELU, {300001, 18}},
    {&kind_batch_norm, OP_CASE_BENCH, RELU | RESIDUAL, {12544, 128}},
    /* rows, D */
    {&kind_layer_norm, OP_CASE_TEST, 0, {1, 4}},
    {&kind_layer_norm, OP_CASE_TEST, 0, {37, 24}},
    {&kind_layer_norm, OP_CASE_TEST, STRIDED, {29, 67}},
    {&kind_layer_norm, OP_CASE_TEST, ACCUMULATE, {5, 520}},
    {&kind_layer_norm, OP_CASE_TEST, 0, {401, 8}},
    {&kind_layer_norm, OP_CASE_TEST, ACCUMULATE, {77, 18}},
    {&kind_layer_norm, OP_CASE_TEST, 0, {211, 128}},
    {&kind_layer_norm, OP_CASE_TEST, ACCUMULATE, {173, 256}},
    {&kind_layer_norm, OP_CASE_TEST, STRIDED, {9, 256}},
    {&kind_layer_norm, OP_CASE_TEST, 0, {6, 257}},
    {&kind_layer_norm, OP_CASE_TEST, 0, {19, 384}},
    {&kind_layer_norm, OP_CASE_TEST, STRIDED | ACCUMULATE, {7, 777}},
    {&kind_layer_norm, OP_CASE_TEST, ACCUMULATE, {2, 8192}},
    {&kind_layer_norm, OP_CASE_TEST, ACCUMULATE, {9, 518}},
    {&kind_layer_norm, OP_CASE_GPU, ACCUMULATE, {50003, 256}},
    {&kind_layer_norm, OP_CASE_GPU, 0, {20003, 600}},
    {&kind_layer_norm, OP_CASE_BENCH, 0, {12544, 128}},
    {&kind_position, OP_CASE_TEST, 0, {37, 24}},
    {&kind_position, OP_CASE_TEST, 0, {301, 132}},
    {&kind_position, OP_CASE_BENCH, 0, {12544, 128}},
    /* B, N, D */
    {&kind_embed, OP_CASE_TEST, 0, {1, 1, 4}},
    {&kind_embed, OP_CASE_TEST, RAGGED, {3, 17, 28}},
    {&kind_embed, OP_CASE_TEST, 0, {2, 13, 516}},
    {&kind_embed, OP_CASE_TEST, RAGGED, {3, 150, 64}},
    {&kind_mean_tokens, OP_CASE_TEST, RAGGED, {3, 9, 13}},
    {&kind_mean_tokens, OP_CASE_TEST, 0, {2, 1, 32}},
    {&kind_mean_tokens, OP_CASE_TEST, RAGGED, {3, 150, 64}},
    {&kind_frame_row, OP_CASE_TEST, 0, {3, 11, 19}},
    {&kind_frame_row, OP_CASE_TEST, 0, {1, 12, 600}},
    {&kind_frame_row, OP_CASE_TEST, 0, {2, 301, 64}},
    {&kind_frame_row, OP_CASE_TEST, 0, {2, 21, 18}},
    {&kind_frame_row, OP_CASE_GPU, 0, {3, 40001, 64}},
    /* B, n */
    {&kind_sum_frames, OP_CASE_TEST, 0, {1, 5}},
    {&kind_sum_frames, OP_CASE_TEST, 0, {3, 770}},
    {&kind_sum_frames, OP_CASE_TEST, 0, {19, 8000}},
    {&kind_sum_frames, OP_CASE_GPU, 0, {3, 5000003}},
    /* B, h, w, C, p */
    {&kind_shuffle, OP_CASE_TEST, 0, {2, 3, 5, 7, 2}},
    {&kind_shuffle, OP_CASE_TEST, STRIDED, {1, 2, 3, 16, 8}},
    {&kind_shuffle, OP_CASE_TEST, 0, {2, 1, 3, 4, 3}},
    {&kind_shuffle, OP_CASE_TEST, 0, {1, 3, 1, 5, 4}},
    {&kind_shuffle, OP_CASE_TEST, 0, {1, 9, 7, 1, 1}},
    {&kind_shuffle, OP_CASE_TEST, STRIDED, {1, 1, 2, 345, 8}},
    {&kind_shuffle, OP_CASE_BENCH, STRIDED, {1, 28, 28, 16, 8}},
    /* elements */
    {&kind_convert, OP_CASE_TEST, 0, {1009}},
    {&kind_convert, OP_CASE_TEST, RESIDUAL, {1009}},
    {&kind_convert, OP_CASE_GPU, 0, {5000011}}, /* more elements than threads at once */
    {&kind_relu, OP_CASE_GPU, 0, {5000011}},
    {&kind_copy, OP_CASE_TEST, 0, {13, 7}},
    {&kind_copy, OP_CASE_TEST, ACCUMULATE, {5, 33}},
    {&kind_copy, OP_CASE_TEST, 0, {1, 5000}},
    {&kind_copy, OP_CASE_TEST, STRIDED, {301, 24}},
    {&kind_copy, OP_CASE_TEST, STRIDED | ACCUMULATE, {33, 18}},
    {&kind_relu, OP_CASE_TEST, 0, {1009}},
    {&kind_dropout, OP_CASE_TEST, 0, {5003}},
    {&kind_dropout, OP_CASE_GPU, 0, {5000011}},
    {&kind_sigmoid, OP_CASE_TEST, 0, {1009}},
    {&kind_dropout, OP_CASE_BENCH, 0, {12544 * 128}},
    /* B, H, W */
    {&kind_l1, OP_CASE_TEST, 0, {2, 13, 17}},
    {&kind_l1, OP_CASE_GPU, 0, {9, 181, 223}},
    {&kind_sampled, OP_CASE_GPU, 0, {9, 181, 223}},
    {&kind_ssim, OP_CASE_GPU, 0, {2, 301, 299}},
    {&kind_gradient, OP_CASE_GPU, 0, {9, 181, 223}},
    {&kind_l2, OP_CASE_TEST, 0, {2, 13, 17}},
    {&kind_charbonnier, OP_CASE_TEST, 0, {1, 13, 17}},
    {&kind_sampled, OP_CASE_TEST, 0, {3, 13, 17}},
    {&kind_sampled, OP_CASE_TEST, 0, {2, 2, 2}}, /* several samples on a pixel */
    {&kind_ssim, OP_CASE_TEST, 0, {1, 11, 11}},
    {&kind_ssim, OP_CASE_TEST, 0, {2, 19, 23}},
    {&kind_ssim, OP_CASE_TEST, 0, {1, 31, 75}},
    {&kind_ssim, OP_CASE_BENCH, 0, {1, 112, 112}},
    {&kind_gradient, OP_CASE_TEST, 0, {2, 13, 17}},
    {&kind_nll, OP_CASE_TEST, 0, {2, 13, 17}},
    {&kind_nll, OP_CASE_TEST, 0, {1, 1, 1}},
    {&kind_nll, OP_CASE_TEST, WIDE, {3, 19, 23}},
    {&kind_optimiser, OP_CASE_TEST, 0, {1009}},
    {&kind_optimiser, OP_CASE_GPU, 0, {5000011}},
    {&kind_optimiser, OP_CASE_BENCH, 0, {1000000}},
};
// clang-format on
const size_t op_case_count = sizeof op_cases / sizeof *op_cases;

void op_case_name(const struct op_case *c, char *out, size_t size)
{
    static const char *const flag[] = {"bias",    "relu",   "residual", "in-place",   "shared",
                                       "strided", "ragged", "dropout",  "accumulate", "wide"};
    size_t used = (size_t)snprintf(out, size, "%s ", c->kind->name);
    for (size_t i = 0; i < OP_CASE_SIZES && c->s[i] && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, i ? "x%zu" : "%zu", c->s[i]);
    const char *between = " ";
    for (size_t i = 0; i < sizeof flag / sizeof *flag && used < size; i++)
        if (c->flags & 1u << i) {
            used += (size_t)snprintf(out + used, size - used, "%s%s", between, flag[i]);
            between = "+";
        }
}

int op_case_has_backward(const struct op_case *c)
{
    return c->kind->backward && !(c->flags & c->kind->forward_only);
}

double op_case_flops(const struct op_case *c, int backward)
{
    return c->kind->flops ? c->kind->flops(c, backward) : 0;
}

static size_t element_size(enum op_store store)
{
    return store == OP_BYTE ? 1 : 4;
}

double op_case_bytes(const struct op_case_run *r, int backward)
{
    double bytes = 0;
    for (size_t i = 0; i < r->operands; i++) {
        const struct op_operand *o = r->operand + i;
        int gradient = o->role == OP_OUTPUT_GRADIENT || o->role == OP_INPUT_GRADIENT;
        if (backward || !gradient)
            bytes += (double)(o->n * element_size(o->store));
    }
    return bytes;
}

static void fill(const struct op_operand *o, void *to, struct philox *draw)
{
    for (size_t i = 0; i < o->n; i++)
        switch (o->fill) {
        case OP_FILL_NORMAL:
            ((float *)to)[i] = (float)philox_normal(draw);
            break;
        case OP_FILL_WIDE:
            ((float *)to)[i] = 16 * (float)philox_normal(draw);
            break;
        case OP_FILL_POSITIVE:
            ((float *)to)[i] = (float)(0.5 + philox_uniform(draw));
            break;
        case OP_FILL_UNIT:
            ((float *)to)[i] = (float)philox_uniform(draw);
            break;
        case OP_FILL_COUNT:
            ((int32_t *)to)[i] = i ? 1 + (int32_t)philox_below(draw, (uint32_t)o->limit) : (int32_t)o->limit;
            break;
        case OP_FILL_INDEX:
            ((int32_t *)to)[i] = (int32_t)philox_below(draw, (uint32_t)o->limit);
            break;
        case OP_FILL_BIT:
            ((uint8_t *)to)[i] = !i || philox_below(draw, 2);
            break;
        }
}

static size_t device_size(const struct op_case_run *r, enum op_store store)
{
    return store == OP_ACT && r->ctx->bf16 ? 2 : element_size(store);
}

/* Bytes from the start of operand i's memory to the operand. */
static size_t shift_of(const struct op_case_run *r, size_t i)
{
    enum op_store store = r->operand[i].store;
    return store == OP_FLOAT || store == OP_ACT ? r->shift * device_size(r, store) : 0;
}

static int open_run(struct op_case_run *r, const struct op_case *c, struct op_ctx *ctx, size_t shift,
                    struct err *e)
{
    memset(r, 0, sizeof *r);
    r->c = c;
    r->ctx = ctx;
    r->shift = shift;
    c->kind->operands(r);
    for (size_t i = 0; i < r->operands; i++) {
        const struct op_operand *o = r->operand + i;
        struct philox draw;
        int code = mem_alloc(&r->host[i], o->n, element_size(o->store), o->name, e);
        if (!code)
            code = ctx->ops->alloc(ctx, &r->device[i], shift_of(r, i) + o->n * device_size(r, o->store), e);
        if (code) {
            op_case_close(r);
            return code;
        }
        r->device[i] = (char *)r->device[i] + shift_of(r, i);
        philox_init(&draw, 7, i);
        fill(o, r->host[i], &draw);
    }
    op_case_upload(r);
    return 0;
}

int op_case_open(struct op_case_run *r, const struct op_case *c, struct op_ctx *ctx, struct err *e)
{
    return open_run(r, c, ctx, 0, e);
}

int op_case_open_shifted(struct op_case_run *r, const struct op_case *c, struct op_ctx *ctx, struct err *e)
{
    return open_run(r, c, ctx, 1, e);
}

void op_case_close(struct op_case_run *r)
{
    for (size_t i = 0; i < r->operands; i++) {
        free(r->host[i]);
        if (r->device[i])
            r->ctx->ops->free(r->ctx, (char *)r->device[i] - shift_of(r, i));
    }
    memset(r, 0, sizeof *r);
}

void op_case_upload(struct op_case_run *r)
{
    for (size_t i = 0; i < r->operands; i++) {
        const struct op_operand *o = r->operand + i;
        if (o->store == OP_ACT)
            r->ctx->ops->upload_act(r->ctx, r->device[i], r->host[i], o->n);
        else
            r->ctx->ops->upload(r->ctx, r->device[i], r->host[i], o->n * element_size(o->store));
    }
}

void op_case_download(struct op_case_run *r)
{
    for (size_t i = 0; i < r->operands; i++) {
        const struct op_operand *o = r->operand + i;
        if (o->role != OP_OUTPUT && o->role != OP_SAVED && o->role != OP_INPUT_GRADIENT)
            continue;
        if (o->store == OP_ACT)
            r->ctx->ops->download_act(r->ctx, r->host[i], r->device[i], o->n);
        else
            r->ctx->ops->download(r->ctx, r->host[i], r->device[i], o->n * element_size(o->store));
    }
}

int op_case_forward(struct op_case_run *r, struct err *e)
{
    return r->c->kind->forward(r, e);
}

int op_case_backward(struct op_case_run *r, struct err *e)
{
    return r->c->kind->backward(r, e);
}
