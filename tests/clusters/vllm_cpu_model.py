"""Writes a model that vLLM serves: a small Qwen2 and its tokenizer, no weights. Run by vLLM's Python.

The weights are made up by `--load-format dummy`. A token is a byte. It is deep enough (200 MB) for a step's time to be
that of reading the weights, as on a GPU, so that a step of thirty requests takes little longer than one of two.
"""

import json
import sys
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

BEGIN, END, PAD = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
CONTEXT_TOKENS = 4096


def tokenizer() -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={symbol: number for number, symbol in enumerate(alphabet)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([PAD, BEGIN, END])
    return made


def files(made: Tokenizer) -> dict[str, dict[str, object]]:
    ends = {"bos_token_id": made.token_to_id(PAD), "eos_token_id": made.token_to_id(END)}
    return {
        "config.json": ends
        | {
            "architectures": ["Qwen2ForCausalLM"],
            "model_type": "qwen2",
            "hidden_size": 768,
            "intermediate_size": 2048,
            "num_hidden_layers": 16,
            "num_attention_heads": 12,
            "num_key_value_heads": 2,
            "max_position_embeddings": CONTEXT_TOKENS,
            "vocab_size": 512,
            "hidden_act": "silu",
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0,
            "initializer_range": 0.02,
            "tie_word_embeddings": True,
            "torch_dtype": "bfloat16",
        },
        "generation_config.json": ends,
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": END,
            "pad_token": PAD,
            "model_max_length": CONTEXT_TOKENS,
            "clean_up_tokenization_spaces": False,
        },
    }


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir()
    made = tokenizer()
    made.save(str(folder / "tokenizer.json"))
    for name, content in files(made).items():
        (folder / name).write_text(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
