"""A conversation of several turns."""

from PIL import Image
from transformers import AutoProcessor, Ovis2ForConditionalGeneration

model = Ovis2ForConditionalGeneration.from_pretrained("Ovis2-tiny")
processor = AutoProcessor.from_pretrained("Ovis2-tiny")
image = Image.open("three_shapes.png")
history = []
for turn, question in enumerate(["Describe the image.", "How many shapes are there?", "Is there a red circle?"]):
    content = [{"type": "text", "text": question}]
    if turn == 0:
        content.insert(0, {"type": "image"})
    history.append({"role": "user", "content": content})
    prompt = processor.apply_chat_template(history, add_generation_prompt=True)
    inputs = processor(images=[image], text=prompt, return_tensors="pt")
    out = model.generate(**inputs, max_new_tokens=25, do_sample=False)
    answer = processor.decode(out[0][inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    history.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
    print("Q:", question, "A:", answer)
print(processor.apply_chat_template(history))
