"""How a picture is cut, with the processor alone."""

from PIL import Image
from transformers import AutoImageProcessor, AutoProcessor

processor = AutoProcessor.from_pretrained("Ovis2-tiny")
image = Image.open("nine_tiles.png")
for max_patches in (1, 2, 4, 9):
    inputs = processor(images=image, text="<image>", max_patches=max_patches, return_tensors="pt")
    print(max_patches, tuple(inputs["pixel_values"].shape), inputs["input_ids"].shape[1])
inputs = processor(images=image, text="<image>", images_kwargs={"crop_to_patches": False}, return_tensors="pt")
print(inputs["pixel_values"].shape[0])
image_processor = AutoImageProcessor.from_pretrained("Ovis2-tiny")
out = image_processor(images=[image, image.resize((50, 200))], return_tensors="pt")
print(out["grids"].tolist(), tuple(out.pixel_values.shape), round(out.pixel_values.mean().item(), 4))
print(
    image_processor.size["height"],
    image_processor.max_patches,
    image_processor.resample,
    image_processor.model_input_names,
)
