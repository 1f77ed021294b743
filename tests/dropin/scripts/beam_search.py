"""Beams with their scores."""

import torch
from PIL import Image
from transformers import AutoProcessor, Ovis2ForConditionalGeneration

model = Ovis2ForConditionalGeneration.from_pretrained("Ovis2-tiny").eval()
processor = AutoProcessor.from_pretrained("Ovis2-tiny")
messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Describe the image."}]}]
prompt = processor.apply_chat_template(messages, add_generation_prompt=True)
inputs = processor(images=Image.open("nine_tiles.png"), text=prompt, return_tensors="pt")
with torch.no_grad():
    outputs = model.generate(
        **inputs, num_beams=4, num_return_sequences=3, max_new_tokens=24, early_stopping=True, length_penalty=0.8,
        return_dict_in_generate=True, output_scores=True,
    )  # fmt: skip
texts = processor.batch_decode(outputs.sequences[:, inputs.input_ids.shape[1] :], skip_special_tokens=True)
for text, score in zip(texts, outputs.sequences_scores):
    print(f"{score.item():.3f} {text}")
transitions = model.compute_transition_scores(
    outputs.sequences, outputs.scores, outputs.beam_indices, normalize_logits=False
)
print([round(x, 2) for x in transitions.sum(axis=1).tolist()], outputs.beam_indices[0].tolist())
