"""Draw the pictures of `files/`: run by hand when a drawing changes (`pip install pillow`), its output is committed.

    python seed_data/draw.py

A JPEG's bytes depend on the encoder's version, so that `write.py` reads the pictures and never makes them.
"""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter, ImageFont

FILES = Path(__file__).parent / "files"


def vaccination_page() -> Image.Image:
    """A page of a vaccination booklet: a ruled table filled in by hand, stamped."""
    page = Image.new("RGB", (720, 960), (250, 246, 232))
    draw = ImageDraw.Draw(page)
    draw.text((40, 36), "VACCINATIONS", font=ImageFont.truetype("DejaVuSans.ttf", 38), fill=(150, 40, 60))
    draw.text(
        (40, 92), "Nom : VIGNAUD   Prénom : Martine", font=ImageFont.truetype("DejaVuSans.ttf", 22), fill=(60, 60, 60)
    )
    columns, top, step = (40, 190, 430, 560, 680), 150, 78
    heads = ("Date", "Vaccin", "Lot", "Cachet")
    for x, head in zip(columns, heads, strict=False):
        draw.text((x + 8, top + 24), head, font=ImageFont.truetype("DejaVuSans.ttf", 20), fill=(150, 40, 60))
    shots = (
        ("12.09.64", "D.T. Polio", "814 A"),
        ("20.10.64", "D.T. Polio", "822 C"),
        ("03.05.66", "Variole", "17"),
        ("15.06.71", "B.C.G.", "2204"),
        ("14.03.83", "D.T. Polio (rappel)", "A 0917"),
        ("02.04.93", "D.T. Polio (rappel)", "K 3310"),
        ("22.04.03", "D.T. Polio (rappel)", "X 7742-1"),
    )
    for nth, shot in enumerate(shots, 1):
        for x, cell in zip(columns, shot, strict=False):
            wobble = (nth * 7 + x) % 6
            draw.text(
                (x + 8, top + step * nth + 20 + wobble),
                cell,
                font=ImageFont.truetype("DejaVuSans.ttf", 23),
                fill=(30, 45, 130),
            )
        draw.ellipse((585, top + step * nth + 12, 655, top + step * nth + 66), outline=(90, 70, 150), width=3)
    for nth in range(len(shots) + 2):
        draw.line((40, top + step * nth, 680, top + step * nth), fill=(190, 170, 150), width=2)
    for x in columns:
        draw.line((x, top, x, top + step * (len(shots) + 1)), fill=(190, 170, 150), width=2)
    return page.rotate(0.7, expand=False, fillcolor=(90, 80, 70), resample=Image.Resampling.BICUBIC)


def skin() -> Image.Image:
    """A drawing in the place of a photograph: red patches on an arm, with a ruler for the scale."""
    picture = Image.new("RGB", (640, 480), (205, 212, 220))
    draw = ImageDraw.Draw(picture)
    draw.polygon([(0, 110), (330, 150), (640, 60), (640, 390), (330, 350), (0, 420)], fill=(229, 188, 160))
    for x, y, size in ((300, 220, 46), (352, 250, 38), (262, 268, 30), (330, 296, 26), (398, 214, 22), (240, 226, 18)):
        draw.ellipse((x - size, y - size * 0.7, x + size, y + size * 0.7), fill=(205, 112, 98))
    picture = picture.filter(ImageFilter.GaussianBlur(7))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((40, 430, 600, 470), fill=(245, 240, 200))
    for centimetre in range(15):
        x = 50 + centimetre * 38
        draw.line((x, 430, x, 446), fill=(40, 40, 40), width=2)
        draw.text((x - 4, 450), str(centimetre), font=ImageFont.truetype("DejaVuSans.ttf", 14), fill=(40, 40, 40))
    return picture


if __name__ == "__main__":
    FILES.mkdir(exist_ok=True)
    vaccination_page().save(FILES / "carnet-vaccination.jpg", quality=72, optimize=True)
    skin().save(FILES / "peau.jpg", quality=72, optimize=True)
