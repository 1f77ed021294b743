"""How likely each token of the answer was."""

import numpy as np
import torch
from PIL import Image
from transformers import AutoProcessor, Ovis2ForConditionalGeneration

model = Ovis2ForConditionalGeneration.from_pretrained("Ovis2-tiny")
processor = AutoProcessor.from_pretrained("Ovis2-tiny")
tokenizer = processor.tokenizer
messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "How many shapes are there?"}]}]
prompt = processor.apply_chat_template(messages, add_generation_prompt=True)
inputs = processor(images=Image.open("three_shapes.png"), text=prompt, return_tensors="pt")
with torch.no_grad():
    outputs = model.generate(
        **inputs, max_new_tokens=8, return_dict_in_generate=True, output_scores=True, output_logits=True
    )
transition_scores = model.compute_transition_scores(outputs.sequences, outputs.scores, normalize_logits=True)
input_length = inputs.input_ids.shape[1]
generated_tokens = outputs.sequences[:, input_length:]
for tok, score in zip(generated_tokens[0], transition_scores[0]):
    print(f"| {tok:5d} | {tokenizer.decode(tok):8s} | {score.numpy():.3f} | {np.exp(score.numpy()):.2%}")
print(len(outputs.scores), outputs.logits[0].shape, outputs["sequences"].dtype)
