"""Embeddings in place of ids."""

import torch
from PIL import Image
from transformers import AutoProcessor, Ovis2ForConditionalGeneration

model = Ovis2ForConditionalGeneration.from_pretrained("Ovis2-tiny").eval()
processor = AutoProcessor.from_pretrained("Ovis2-tiny")
prompt = processor.apply_chat_template(
    [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Describe the image."}]}],
    add_generation_prompt=True,
)
inputs = processor(images=Image.open("single_tile.png"), text=prompt, return_tensors="pt")
with torch.no_grad():
    embeds = model.get_input_embeddings()(inputs["input_ids"])
    features = model.get_image_features(inputs["pixel_values"])
    mask = inputs["input_ids"] == model.config.image_token_id
    embeds[mask] = features.pooler_output.reshape(-1, embeds.shape[-1])
    for token_id, row in zip(model.config.visual_indicator_token_ids, features.visual_indicator_features):
        embeds[inputs["input_ids"] == token_id] = row
    ids = model.generate(inputs_embeds=embeds, attention_mask=inputs["attention_mask"], max_new_tokens=20)
    whole = model.generate(**inputs, max_new_tokens=20)
print(processor.batch_decode(ids, skip_special_tokens=True))
print(torch.equal(ids[0], whole[0, inputs["input_ids"].shape[1] :]))
