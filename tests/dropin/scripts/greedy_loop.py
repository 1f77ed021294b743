"""A decoding loop of one's own, with the cache."""

import torch
from PIL import Image
from transformers import AutoProcessor, Ovis2ForConditionalGeneration

model = Ovis2ForConditionalGeneration.from_pretrained("Ovis2-tiny").eval()
processor = AutoProcessor.from_pretrained("Ovis2-tiny")
messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Describe the image."}]}]
prompt = processor.apply_chat_template(messages, add_generation_prompt=True)
inputs = processor(images=Image.open("three_shapes.png"), text=prompt, return_tensors="pt")

ends = model.generation_config.eos_token_id
tokens = []
with torch.no_grad():
    outputs = model(**inputs, use_cache=True)
    for _ in range(30):
        next_token = outputs.logits[:, -1, :].argmax(dim=-1, keepdim=True)
        if next_token.item() in ends:
            break
        tokens.append(next_token.item())
        outputs = model(input_ids=next_token, past_key_values=outputs.past_key_values, use_cache=True)
print(processor.tokenizer.decode(tokens), outputs.past_key_values.get_seq_length())
