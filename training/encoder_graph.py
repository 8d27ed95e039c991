"""From the torch weights of all-MiniLM-L6-v2 to one quantised ONNX graph with pooling and normalisation inside."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer
from torch import Tensor, nn
from transformers import BertModel
from transformers.utils import logging as transformers_logging

OUTPUT = "sentence_embedding"
OPSET = 17
MATMUL_BITS = 8
MATMUL_BLOCK = 32
ACCURACY_LEVEL = 4
"""MatMulNBits computes in int8, with one scale per block of 32 numbers of each row: a row never sees its batch-mates."""


class SentenceEncoder(nn.Module):
    """BERT, mean over the tokens that are not padding, scaled to length 1."""

    def __init__(self, bert: BertModel) -> None:
        super().__init__()
        self.bert = bert

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Embeddings ``(batch, 384)`` of ``input_ids`` and ``attention_mask``, both ``(batch, sequence)`` int64."""
        hidden = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weights = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1e-9)
        return nn.functional.normalize(mean, p=2.0, dim=1)


def load_original(folder: Path) -> SentenceEncoder:
    """The published fp32 weights in ``folder``, in evaluation mode."""
    transformers_logging.set_verbosity_error()  # it reports the pooler, which sentence embeddings do not use
    bert = BertModel.from_pretrained(str(folder), add_pooling_layer=False, attn_implementation="eager", local_files_only=True)
    return SentenceEncoder(bert).eval()


def export_fp32(model: SentenceEncoder, path: Path) -> None:
    """Writes the fp32 graph with free batch and sequence dimensions to ``path``."""
    # The tracer warns of two branches that it fixes; the parity check runs over many lengths and batches, padded and not.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"torch\.onnx|transformers")
    warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
    ids = torch.ones((2, 8), dtype=torch.int64)
    mask = torch.ones((2, 8), dtype=torch.int64)
    free = {0: "batch", 1: "sequence"}
    torch.onnx.export(
        model,
        (ids, mask),
        str(path),
        input_names=["input_ids", "attention_mask"],
        output_names=[OUTPUT],
        dynamic_axes={"input_ids": free, "attention_mask": free, OUTPUT: {0: "batch"}},
        opset_version=OPSET,
        dynamo=False,
    )


def quantise(source: Path, target: Path) -> None:
    """Writes the graph at ``source`` with 8-bit matrices and an int8 word table to ``target``."""
    logging.getLogger("onnxruntime.quantization").setLevel(logging.WARNING)
    config = DefaultWeightOnlyQuantConfig(block_size=MATMUL_BLOCK, is_symmetric=True, accuracy_level=ACCURACY_LEVEL, bits=MATMUL_BITS)
    quantizer = MatMulNBitsQuantizer(
        onnx.load(str(source)),
        bits=MATMUL_BITS,
        block_size=MATMUL_BLOCK,
        is_symmetric=True,
        accuracy_level=ACCURACY_LEVEL,
        algo_config=config,
    )
    quantizer.process()
    model = quantizer.model.model
    _quantise_largest_table(model.graph)
    model.doc_string = ""
    onnx.save(model, str(target))


def _quantise_largest_table(graph: onnx.GraphProto) -> None:
    """Stores the largest gathered table as int8 with one fp32 scale per row, restored after the lookup."""
    tables = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}
    gathers = [node for node in graph.node if node.op_type == "Gather" and node.input[0] in tables]
    gather = max(gathers, key=lambda node: int(np.prod(tables[node.input[0]].dims)))
    table = tables[gather.input[0]]
    rows = numpy_helper.to_array(table)
    scales = np.maximum(np.abs(rows).max(axis=1, keepdims=True), 1e-12).astype(np.float32) / np.float32(127.0)
    whole = np.rint(rows / scales).clip(-127, 127).astype(np.int8)
    graph.initializer.remove(table)
    graph.initializer.extend([numpy_helper.from_array(whole, "word_table_int8"), numpy_helper.from_array(scales, "word_table_scales")])
    indices, output = gather.input[1], gather.output[0]
    restored = [
        helper.make_node("Gather", ["word_table_int8", indices], ["word_int8"], axis=0),
        helper.make_node("Cast", ["word_int8"], ["word_units"], to=TensorProto.FLOAT),
        helper.make_node("Gather", ["word_table_scales", indices], ["word_scale"], axis=0),
        helper.make_node("Mul", ["word_units", "word_scale"], [output]),
    ]
    position = list(graph.node).index(gather)
    nodes = list(graph.node)
    nodes[position : position + 1] = restored
    del graph.node[:]
    graph.node.extend(nodes)
