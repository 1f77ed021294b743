"""Answers from a list only, by prefix_allowed_tokens_fn."""

from PIL import Image
from transformers import AutoProcessor, Ovis2ForConditionalGeneration

model = Ovis2ForConditionalGeneration.from_pretrained("Ovis2-tiny")
processor = AutoProcessor.from_pretrained("Ovis2-tiny")
tokenizer = processor.tokenizer
answers = [tokenizer(text).input_ids + [tokenizer.eos_token_id] for text in ("Yes.", "No.", "Two.")]
for question in ("Is there a red circle?", "How many shapes are there?"):
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]
    prompt = processor.apply_chat_template(messages, add_generation_prompt=True)
    inputs = processor(images=Image.open("two_tiles.png"), text=prompt, return_tensors="pt")
    length = inputs["input_ids"].shape[1]

    def allowed(batch_id, sent):
        made = sent[length:].tolist()
        return sorted({a[len(made)] for a in answers if a[: len(made)] == made and len(a) > len(made)}) or [
            tokenizer.eos_token_id
        ]

    out = model.generate(**inputs, max_new_tokens=6, prefix_allowed_tokens_fn=allowed)
    print(question, tokenizer.decode(out[0, length:], skip_special_tokens=True))
