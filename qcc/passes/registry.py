"""Which passes exist: qcc's own, and those of other packages.

A package adds passes by the entry-point group `qcc.passes`:

    [project.entry-points."qcc.passes"]
    my_pass = "my_package.my_module:MyPass"
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from qcc.errors import PipelineError
from qcc.given_code import code_of_users
from qcc.passes.base import Pass

GROUP = "qcc.passes"
OWN_PACKAGE = "qcc"

# In the order in which a pipeline uses them.
BUILT_IN = {
    "transform": "qcc.passes.transform:Transform",
    "transform-outputs": "qcc.passes.transform_outputs:TransformOutputs",
    "normalize": "qcc.passes.normalize:Normalize",
    "freeze": "qcc.passes.freeze:Freeze",
    "static-scales": "qcc.passes.static_scales:StaticScales",
    "out-thresholds": "qcc.passes.out_thresholds:OutThresholds",
    "int8": "qcc.passes.int8:Int8",
    "unpack": "qcc.passes.unpack:Unpack",
    "qdq": "qcc.passes.qdq:Qdq",
    "prune": "qcc.passes.prune:Prune",
    "unquantize": "qcc.passes.unquantize:Unquantize",
    "own-names": "qcc.passes.own_names:OwnNames",
    "channels-first": "qcc.passes.channels_first:ChannelsFirst",
    "einsum-to-matmul": "qcc.passes.einsum_to_matmul:EinsumToMatmul",
    "fold-constants": "qcc.passes.fold_constants:FoldConstants",
    "constant-arguments": "qcc.passes.constant_arguments:ConstantArguments",
    "fuse-activations": "qcc.passes.fuse_activations:FuseActivations",
    "fold-bn": "qcc.passes.fold_bn:FoldBn",
    "relax-relu6": "qcc.passes.relax_relu6:RelaxRelu6",
    "channel-gains": "qcc.passes.channel_gains:ChannelGains",
    "channel-steps": "qcc.passes.channel_steps:ChannelSteps",
    "equalize": "qcc.passes.equalize:Equalize",
    "absorb-bias": "qcc.passes.absorb_bias:AbsorbBias",
    "correct-biases": "qcc.passes.correct_biases:CorrectBiases",
    "mul-to-matmul": "qcc.backends.deploy.passes.mul_to_matmul:MulToMatmul",
    "skip-neutral": "qcc.backends.deploy.passes.skip_neutral:SkipNeutral",
    "bias-bare-convs": "qcc.backends.deploy.passes.bias_bare_convs:BiasBareConvs",
    "eight-bit-grid": "qcc.backends.deploy.passes.eight_bit_grid:EightBitGrid",
    "square-weights": "qcc.backends.deploy.passes.square_weights:SquareWeights",
    "whole-weights": "qcc.backends.deploy.passes.whole_weights:WholeWeights",
    "fold-into-scales": "qcc.backends.deploy.passes.fold_into_scales:FoldIntoScales",
    "quantize-outputs": "qcc.backends.deploy.passes.quantize_outputs:QuantizeOutputs",
    "unsigned-activations": "qcc.backends.deploy.passes.unsigned_activations:UnsignedActivations",
    "unclipped-sums": "qcc.backends.deploy.passes.unclipped_sums:UnclippedSums",
    "bias-range": "qcc.backends.deploy.passes.bias_range:BiasRange",
    "kept-dims": "qcc.backends.deploy.passes.kept_dims:KeptDims",
    "chained-products": "qcc.backends.deploy.passes.chained_products:ChainedProducts",
    "plain-copies": "qcc.backends.deploy.passes.plain_copies:PlainCopies",
    "lone-extremes": "qcc.backends.deploy.passes.lone_extremes:LoneExtremes",
    "flat-biases": "qcc.backends.deploy.passes.flat_biases:FlatBiases",
    "fewer-dims": "qcc.backends.deploy.passes.fewer_dims:FewerDims",
    "linear-pairs": "qcc.backends.deploy.passes.linear_pairs:LinearPairs",
    "float-copies": "qcc.backends.deploy.passes.float_copies:FloatCopies",
    "lone-joins": "qcc.backends.deploy.passes.lone_joins:LoneJoins",
    "whole-tiles": "qcc.backends.deploy.passes.whole_tiles:WholeTiles",
    "integer-weights": "qcc.backends.deploy.passes.integer_weights:IntegerWeights",
    "fold-priors": "qcc.backends.deploy.passes.fold_priors:FoldPriors",
    "uneven-pools": "qcc.backends.deploy.passes.uneven_pools:UnevenPools",
    "spell-out": "qcc.backends.deploy.passes.spell_out:SpellOut",
    "output-padding": "qcc.backends.deploy.passes.output_padding:OutputPadding",
    "bare-nms": "qcc.backends.deploy.passes.bare_nms:BareNms",
    "cut-nms": "qcc.backends.deploy.passes.cut_nms:CutNms",
    "avoid-saturation": "qcc.backends.deploy.passes.avoid_saturation:AvoidSaturation",
    "own-filters": "qcc.backends.deploy.passes.own_filters:OwnFilters",
    "odd-kernels": "qcc.backends.deploy.passes.odd_kernels:OddKernels",
    "own-scales": "qcc.backends.deploy.passes.own_scales:OwnScales",
    # What follows lowers a graph for Paddle Lite.
    "lite-quantize": "qcc.backends.lite.passes.quantize:LiteQuantize",
    "lite-fold-constants": "qcc.backends.lite.passes.fold_constants:LiteFoldConstants",
    "lite-ops": "qcc.backends.lite.passes.ops:LiteOps",
    "lite-spell-out": "qcc.backends.lite.passes.spell_out:LiteSpellOut",
    "lite-reduce": "qcc.backends.lite.passes.reduce:LiteReduce",
    "lite-arm-ops": "qcc.backends.lite.passes.arm_ops:LiteArmOps",
    "fold-reshape": "qcc.backends.lite.passes.fold_reshape:FoldReshape",
    "fold-transpose": "qcc.backends.lite.passes.fold_transpose:FoldTranspose",
    "fuse-conv-bias": "qcc.backends.lite.passes.fuse_conv_bias:FuseConvBias",
    "lite-fold-bn": "qcc.backends.lite.passes.fold_bn:LiteFoldBn",
    "fuse-conv-conv": "qcc.backends.lite.passes.fuse_conv_conv:FuseConvConv",
    "lite-split-products": "qcc.backends.lite.passes.split_products:LiteSplitProducts",
    "fuse-conv-activation": "qcc.backends.lite.passes.fuse_conv_activation:FuseConvActivation",
    "fuse-fc": "qcc.backends.lite.passes.fuse_fc:FuseFc",
    "fuse-flatten-fc": "qcc.backends.lite.passes.fuse_flatten_fc:FuseFlattenFc",
    "fuse-shuffle-channel": "qcc.backends.lite.passes.shuffle_channel:FuseShuffleChannel",
    "fuse-elementwise-activation": (
        "qcc.backends.lite.passes.fuse_elementwise_activation:FuseElementwiseActivation"
    ),
    "fuse-pad2d": "qcc.backends.lite.passes.fuse_pad2d:FusePad2d",
    "lite-set-value": "qcc.backends.lite.passes.set_value:LiteSetValue",
    "global-pool": "qcc.backends.lite.passes.global_pool:GlobalPool",
    "remove-identity": "qcc.backends.lite.passes.remove_identity:RemoveIdentity",
    "weight-only": "qcc.backends.lite.passes.weight_only:WeightOnly",
    "lite-exact": "qcc.backends.lite.passes.exact:LiteExact",
    "lite-own-filter": "qcc.backends.lite.passes.own_filter:LiteOwnFilter",
    "lite-int8-bias": "qcc.backends.lite.passes.int8_bias:LiteInt8Bias",
    "lite-int8-out": "qcc.backends.lite.passes.int8_out:LiteInt8Out",
    "lite-calib": "qcc.backends.lite.passes.calib:LiteCalib",
    "lite-round": "qcc.backends.lite.passes.round:LiteRound",
    "lite-attributes": "qcc.backends.lite.passes.attributes:LiteAttributes",
    "lite-kernels": "qcc.backends.lite.passes.kernels:LiteKernels",
}


@dataclass(frozen=True)
class Registered:
    """Where a pass is, as "module:class", and the package that offers it."""

    target: str
    package: str


@cache
def known_passes() -> Mapping[str, Registered]:
    """All passes by name, none of them imported.

    Raises PipelineError when two packages give the same name, naming both.
    """
    known = {name: Registered(target, OWN_PACKAGE) for name, target in BUILT_IN.items()}
    for entry in entry_points(group=GROUP):
        package = _distribution(entry)
        if entry.name in known:
            raise PipelineError(
                f"pass {entry.name!r} is offered by {known[entry.name].package} as well as by {package};"
                " uninstall one of them."
            )
        known[entry.name] = Registered(entry.value, package)
    return known


def find_pass(name: str) -> type[Pass]:
    """The class of a pass.

    Raises PipelineError for an unknown name, with the nearest known one, and for a pass that cannot
    be imported, with the package that offers it.
    """
    known = known_passes()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "`qcc passes` lists those that there are."
        raise PipelineError(f"there is no pass {name!r}; {hint}")
    target = known[name].target
    module, _, attribute = target.partition(":")
    given = f"pass {name!r} of the package {known[name].package}"
    with code_of_users(f"{given}, while it is imported,", PipelineError):
        try:
            found = getattr(import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise PipelineError(f"{given} cannot be imported: {error}.") from error
    has_fields = is_dataclass(found)
    if not (isinstance(found, type) and issubclass(found, Pass)):
        raise PipelineError(f"{target}, registered as pass {name!r}, is not a subclass of Pass.")
    if not has_fields:
        raise PipelineError(
            f"{target}, registered as pass {name!r}, is not a dataclass: its fields are options."
        )
    if getattr(found, "name", None) != name:
        # Its text would not parse back.
        raise PipelineError(
            f"{target}, registered as pass {name!r}, has another name, or none, in its class."
        )
    return found


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.value
