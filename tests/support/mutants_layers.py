"""Planted bugs of layers and optimizers: file of kernels/ -> (expression standing there once, its wrong versions)."""

from __future__ import annotations

MUTANTS: dict[str, list[tuple[str, list[str]]]] = {
    "conv_simt.cuh": [
        (
            "ih < 0 || ih >= h || iw < 0 || iw >= w",
            ["ih < 0 || ih > h || iw < 0 || iw >= w", "ih < 0 || ih >= h || iw < 0 || iw + 1 >= w"],
        ),
        (
            "o.row * stride_h + t.r * dilation_h - pad_h",
            [
                "o.row * stride_h + t.r - pad_h",
                "o.row * stride_h + t.r * dilation_h",
                "o.row + t.r * dilation_h - pad_h",
            ],
        ),
        ("row < 0 || column < 0 || row % stride_h != 0 || column % stride_w != 0", ["row < 0 || column < 0"]),
        (
            "row / stride_h >= p || column / stride_w >= q",
            ["row / stride_h > p || column / stride_w >= q", "column / stride_w >= q"],
        ),
        ("group * c + t.channel", ["t.channel"]),
        ("end < k ? end : k", ["end"]),
        ("k_begin(z) + pixels_per_split", ["k_begin(z) + pixels_per_split - 1", "k_begin(z) + pixels_per_split + 1"]),
        ("z % splits * conv.groups * conv.k + channel", ["channel"]),
        (
            "conv.weight_strides.at(group * conv.k + t.channel, column, t.r, t.s)",
            ["conv.weight_strides.at(t.channel, column, t.r, t.s)"],
        ),
    ],
    "pool.cuh": [
        (
            "best_index < 0 || x > best || x != x",
            ["best_index < 0 || x >= best || x != x", "best_index < 0 || x > best", "x > best || x != x"],
        ),
        ("row * s.w + column", ["row * s.h + column"]),
        (
            "o.row * s.stride_h - s.pad_h + r * s.dilation_h",
            ["o.row * s.stride_h - s.pad_h + r", "o.row * s.stride_h + r * s.dilation_h"],
        ),
        ("row < 0 || row >= s.h", ["row < 0 || row > s.h"]),
        (
            "row < 0 || row % s.stride_h != 0 || row / s.stride_h >= s.p",
            ["row < 0 || row % s.stride_h != 0", "row < 0 || row / s.stride_h >= s.p"],
        ),
        ("at.row + s.pad_h - r * s.dilation_h", ["at.row - r * s.dilation_h"]),
        (
            "p.indices[p.indices_strides.at(o)] == at.row * s.w + at.column",
            ["p.indices[p.dy_strides.at(o)] == at.row * s.w + at.column"],
        ),
        ("p.dy[p.dy_strides.at(o)]", ["p.dy[p.indices_strides.at(o)]"]),
    ],
    "elementwise.cuh": [
        ("i < p.size", ["i <= p.size", "i + 1 < p.size"]),
        ("at * strides[a][d]", ["at"]),
        ("d > 0 ? i % shape[d] : i", ["i % shape[d] + 1", "0"]),
    ],
    "core/math.cuh": [
        ("x < 0.0f ? 0.0f : x", ["x < 0.0f ? 0.01f * x : x", "x > 0.0f ? x : 0.0f"]),
        (
            "s <= 0.0f ? 0.0f : dy",
            ["dy", "s <= 0.5f ? 0.0f : dy", "s > 0.0f ? dy : 0.0f", "dy * (s <= 0.0f ? 0.0f : 1.0f)"],
        ),
        ("dy * (s * (1.0f - s))", ["dy * (s * (1.0f + s))"]),
        ("dy * (1.0f - s * s)", ["dy * (1.0f - s)"]),
        ("x * sigmoid(x)", ["sigmoid(x)"]),
    ],
    "core/reduce.cuh": [
        ("shuffle_xor(value, lanes)", ["value"]),
        ("scratch.partial[thread_index() / kWarp]", ["scratch.partial[0]"]),
        ("op(value, scratch.partial[warp])", ["value"]),
    ],
    "core/rows.cuh": [
        ("row < rows", ["row + 1 < rows", "row <= rows"]),
        ("block_count() * kRowsPerBlock", ["block_count()"]),
        ("data[i * stride]", ["data[i]"]),
        ("to_float(data[row * row_stride + column * column_stride])", ["to_float(data[row * row_stride + column])"]),
    ],
    "column_sum.cuh": [
        (
            "p.rows < begin + p.rows_per_split ? p.rows : begin + p.rows_per_split",
            ["begin + p.rows_per_split", "p.rows"],
        ),
        ("row0 < half", ["row0 + 1 < half"]),
        ("split * p.columns + column", ["column"]),
        ("row % inner * inner_stride", ["row % inner"]),
    ],
    "softmax.cuh": [
        ("fmaxf(max, p.x.at(row, j))", ["0.0f"]),
        ("p.log ? x - log_sum : expf(x) / sum", ["p.log ? x : expf(x) / sum", "p.log ? x - log_sum : expf(x)"]),
        ("y * (dy - sum)", ["y * dy"]),
        ("dy - expf(y) * sum", ["dy - y * sum"]),
    ],
    "cross_entropy.cuh": [
        ("(j == label ? 1.0f : 0.0f)", ["(0.0f)"]),
        ("(1.0f - p.smoothing) * p.class_weight(label)", ["p.class_weight(label)", "(1.0f - p.smoothing)"]),
        ("label == p.ignore_index", ["false"]),
        ("label >= 0 && label < p.columns", ["label >= 0 && label <= p.columns", "label < p.columns"]),
        ("p.mean ? loss / weight : loss", ["p.mean ? loss / float(p.rows) : loss", "loss"]),
        (
            "normalizer == 0.0f ? 0.0f : p.dloss.at(row) / normalizer",
            ["p.dloss.at(row)", "1.0f / normalizer", "p.dloss.at(row) / normalizer"],
        ),
        (
            "p.gradient.at(row, j) * scale",
            ["p.gradient.at(row, j) == 0.0f ? 0.0f : p.gradient.at(row, j) * scale", "scale"],
        ),
        ("x < kSmallestProbability ? kSmallestProbability : x > kLargestProbability ? kLargestProbability : x", ["x"]),
        ("share * (weight_sum * probability - p.class_weight(j))", ["share * (probability - p.class_weight(j))"]),
    ],
    "norm.cuh": [
        (
            "1.0f / sqrtf(squares / float(p.columns) + p.eps)",
            [
                "1.0f / sqrtf(squares / float(p.columns - 1) + p.eps)",
                "1.0f / (sqrtf(squares / float(p.columns)) + p.eps)",
            ],
        ),
        ("squares == INFINITY", ["false"]),
        ("kShrink * (p.x.at(row, j) - mean)", ["p.x.at(row, j) - mean"]),
        ("y += p.bias.at(j)", ["y += to_float(p.bias.data[j])", "y += to_float(p.bias.data[j * p.weight.stride])"]),
        ("y *= p.weight.at(j)", ["y *= 1.0f", "y *= to_float(p.weight.data[j * p.bias.stride])"]),
        ("p.mean ? p.mean.at(row) : 0.0f", ["p.rstd.at(row)"]),
        ("g * ((p.x.at(row, j) - mean) * rstd)", ["g * (p.x.at(row, j) - mean)"]),
        ("g_at(j) - g_mean - xhat * g_xhat_mean", ["g_at(j) - g_mean", "g_at(j) - xhat * g_xhat_mean"]),
        ("(x.at(row, column) - (mean ? mean.at(row) : 0.0f)) * rstd.at(row)", ["x.at(row, column) * rstd.at(row)"]),
        ("p.weight ? p.dy.at(row, j) * p.weight.at(j) : p.dy.at(row, j)", ["p.dy.at(row, j)"]),
    ],
    "attention.cuh": [
        ("limited && j > i + diagonal", ["limited && j >= i + diagonal", "limited && j > i"]),
        ("i >= queries || j >= keys", ["i >= queries || j > keys", "j >= keys"]),
        ("m == -INFINITY", ["false"]),
        ("mask.at(b, h, i)[j * mask.column]", ["mask.at(b, h, i)[j]"]),
        ("sum * correction", ["sum"]),
        ("o[c] *= correction", ["o[c]"]),
        ("max + logf(sum)", ["logf(sum)"]),
        ("weight * (dp - row_delta)", ["weight * dp"]),
        ("(b * shape.heads + h) * shape.queries + i", ["h * shape.queries + i", "i"]),
        ("sum == 0.0f ? 0.0f : 1.0f / sum", ["1.0f / sum"]),
    ],
    "dropout.cuh": [
        ("offset + uint64_t(i) / 4", ["uint64_t(i) / 4", "offset + uint64_t(i)"]),
        ("int(i % 4)", ["int(i % 3)"]),
        ("round < 10", ["round < 9"]),
        ("x[0] * (keep ? scale : 0.0f)", ["keep ? x[0] : 0.0f", "keep ? x[0] * scale : 0.0f"]),
        ("uint32_t(counter >> 32)", ["0u"]),
    ],
    "tensor_list.cuh": [
        ("begin + kChunk < item.size ? begin + kChunk : item.size", ["item.size", "begin + kChunk"]),
        ("items[middle].first_chunk <= chunk", ["items[middle].first_chunk < chunk"]),
        ("norm && norm[1] != 0.0f", ["false"]),
        (
            "uint32_t(count_chunks(item.size)) - 1",
            ["uint32_t(count_chunks(item.size))", "0u", "uint32_t(uint8_t(count_chunks(item.size) - 1))"],
        ),
        ("(chunk - item.first_chunk) * kChunk", ["(chunk - item.first_chunk) % 256 * kChunk"]),
        ("thread_index() < p.count", ["thread_index() + 1 < p.count"]),
    ],
    "adam.cuh": [
        ("item.step[0] + 1", ["item.step[0] + 2"]),
        ("float(1.0 - p.beta2) * g * g", ["float(1.0 - p.beta2) * g"]),
        (
            "float(1.0 - p.lr * p.weight_decay)",
            ["1.0f", "float(1.0 - (p.maximize ? -1.0 : 1.0) * p.lr * p.weight_decay)"],
        ),
        (
            "fmaf(float(p.weight_decay), x, g)",
            ["g", "fmaf(p.maximize ? -float(p.weight_decay) : float(p.weight_decay), x, g)"],
        ),
        ("sqrtf(second) + step.eps", ["sqrtf(second + step.eps)"]),
        ("p.eps * root2", ["p.eps"]),
        ("p.maximize ? -to_float(gradient) : to_float(gradient)", ["to_float(gradient)"]),
        ("1.0 - pow(p.beta2, double(count))", ["double(1.0f - powf(float(p.beta2), float(count)))"]),
    ],
    "sgd.cuh": [
        (
            "first_step ? g : float(p.momentum) * to_float(buffer[i]) + float(1.0 - p.dampening) * g",
            [
                "float(p.momentum) * to_float(buffer[i]) + float(1.0 - p.dampening) * g",
                "first_step ? g : float(p.momentum) * to_float(buffer[i]) + g",
            ],
        ),
        ("p.nesterov ? fmaf(float(p.momentum), b, g) : b", ["b"]),
        (
            "fmaf(float(p.weight_decay), x, g)",
            ["g", "fmaf(p.maximize ? -float(p.weight_decay) : float(p.weight_decay), x, g)"],
        ),
    ],
    "gradient_norm.cuh": [
        ("g - g == 0.0f", ["g == g"]),
        ("sum.bad > 0.0 ? 1.0f : 0.0f", ["0.0f"]),
        ("double(g) * double(g)", ["double(g * g)"]),
        ("float(sqrt(sum.squares))", ["sqrtf(float(sum.squares))"]),
        ("sum.squares += p.partial[i].squares", ["sum.squares += double(float(p.partial[i].squares))"]),
        ("i < p.chunks", ["i + 1 < p.chunks"]),
    ],
}
