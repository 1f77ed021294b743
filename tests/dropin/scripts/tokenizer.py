"""The tokenizer by itself."""

import torch
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("Ovis2-tiny", padding_side="left", use_fast=True)
print(tokenizer.vocab_size, len(tokenizer), tokenizer.eos_token, tokenizer.pad_token_id, tokenizer.bos_token)
print(tokenizer.tokenize("How many red circles?"), tokenizer.encode("a red circle", add_special_tokens=False))
batch = tokenizer(["a red circle", "Is there a blue square?"], padding=True, return_tensors="pt")
print(batch["input_ids"], batch["attention_mask"].dtype)
print(
    tokenizer.batch_decode(batch["input_ids"]),
    tokenizer.decode(torch.tensor(5)),
    tokenizer.convert_ids_to_tokens([32, 33]),
)
padded = tokenizer.pad([{"input_ids": [1, 2, 3]}, {"input_ids": [4]}], return_tensors="pt")
print(padded["input_ids"].tolist(), padded["attention_mask"].tolist())
print(tokenizer("a b c d", truncation=True, max_length=3, return_length=True))
messages = [{"role": "user", "content": "How many?"}]
print(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
print(tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt")["input_ids"].shape)
