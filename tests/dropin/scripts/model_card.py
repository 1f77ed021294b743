"""A model card's quick start: device_map, the chat template with the picture in it, answers cut off their prompts."""

from transformers import AutoModelForImageTextToText, AutoProcessor

checkpoint = "thisisiron/Ovis2-2B-hf"
model = AutoModelForImageTextToText.from_pretrained(
    checkpoint, torch_dtype="auto", attn_implementation="sdpa", low_cpu_mem_usage=True, trust_remote_code=True
)
processor = AutoProcessor.from_pretrained(checkpoint, trust_remote_code=True)

messages = [
    {
        "role": "user",
        "content": [
            {"type": "image", "path": "two_tiles.png"},
            {"type": "text", "text": "Describe the image."},
        ],
    }
]
inputs = processor.apply_chat_template(
    messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
).to(model.device)

outputs = model.generate(**inputs, max_new_tokens=40)
print(processor.decode(outputs[0][inputs["input_ids"].shape[-1] :], skip_special_tokens=True))
