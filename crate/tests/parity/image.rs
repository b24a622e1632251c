//! Golden cases of kind `image`: one operation on a picture made by rule, against Pillow's result.

use nnclr::image::{Picture, blur, color, crop_resize};
use serde_json::Value;

/// Runs one case. `Ok` is the largest deviation in levels, `Err` says why the case does not hold or
/// cannot be run.
pub fn run(
    case: &Value,
    fill_salt: u32,
    expected: &[u8],
    shape: &[usize],
    first_row: &[u8],
) -> Result<f64, String> {
    let mut fields = Fields::new(case)?;
    if fields.text("kind")? != "image" {
        return Err("not an image case".into());
    }
    fields.text("name")?;
    let (width, height) = (fields.side("w")?, fields.side("h")?);
    let input = picture(fields.text("picture")?, width, height, fill_salt)?;
    if input.pixels.get(..first_row.len()) != Some(first_row)
        || first_row.len() != width as usize * 3
    {
        return Err(
            "the input's first row differs: the rule that makes the picture is another one".into(),
        );
    }
    let op = fields.text("op")?;
    let output = apply(op, &mut fields, input)?;
    fields.all_read()?;
    if shape != [output.height as usize, output.width as usize, 3]
        || expected.len() != output.pixels.len()
    {
        return Err(format!("shape {} x {} instead of {shape:?}", output.height, output.width));
    }
    compare(op, &output.pixels, expected)
}

fn apply(op: &str, fields: &mut Fields, mut picture: Picture) -> Result<Picture, String> {
    match op {
        "resized_crop" => {
            let crop = crop_resize::Crop {
                left: fields.whole("left")?,
                top: fields.whole("top")?,
                width: fields.side("width")?,
                height: fields.side("height")?,
            };
            let fits = |start: u32, length: u32, side: u32| {
                u64::from(start) + u64::from(length) <= u64::from(side)
            };
            if !fits(crop.left, crop.width, picture.width)
                || !fits(crop.top, crop.height, picture.height)
            {
                return Err("the crop sticks out of the picture".into());
            }
            let size = fields.side("size")?;
            return Ok(crop_resize::crop_resize(&picture, crop, size, size));
        }
        "gaussian_blur" => blur::gaussian_blur(&mut picture, fields.number("sigma")?),
        "brightness" => color::brightness(&mut picture, fields.number("factor")?),
        "contrast" => color::contrast(&mut picture, fields.number("factor")?),
        "saturation" => color::saturation(&mut picture, fields.number("factor")?),
        "hue" => color::hue(&mut picture, fields.number("factor")?),
        "grayscale" => color::grayscale(&mut picture),
        _ => return Err(format!("unknown op {op:?}")),
    }
    Ok(picture)
}

/// The project's tolerances: 1 level on 99 % and 3 on any value; blur and hue: 1 level on average.
fn compare(op: &str, got: &[u8], expected: &[u8]) -> Result<f64, String> {
    let deviations: Vec<u8> = got.iter().zip(expected).map(|(a, b)| a.abs_diff(*b)).collect();
    let worst = deviations.iter().copied().max().unwrap_or(0);
    let count = deviations.len() as f64;
    let close = deviations.iter().filter(|&&d| d <= 1).count() as f64 / count;
    let mean = deviations.iter().map(|&d| f64::from(d)).sum::<f64>() / count;
    let holds = if matches!(op, "gaussian_blur" | "hue") {
        mean <= 1.0
    } else {
        close >= 0.99 && worst <= 3
    };
    if !holds {
        return Err(format!(
            "worst deviation {worst} levels, mean {mean:.3}, {:.2} % within 1",
            close * 100.0
        ));
    }
    Ok(f64::from(worst))
}

/// The input picture, by the rule of the golden cases' generator.
fn picture(kind: &str, width: u32, height: u32, salt: u32) -> Result<Picture, String> {
    let mut picture = Picture::black(width, height);
    let key = crc32(b"image") ^ salt;
    for (i, value) in (0u32..).zip(picture.pixels.iter_mut()) {
        *value = (mix(i.wrapping_mul(2_654_435_761).wrapping_add(key)) >> 24) as u8;
    }
    match kind {
        "noise" => Ok(picture),
        "smooth" => {
            let (width, height) = (u64::from(width), u64::from(height));
            for (i, pixel) in (0u64..).zip(picture.pixels.chunks_exact_mut(3)) {
                let (x, y) = (i % width, i / width);
                let ramps = [
                    x * 239 / (width - 1).max(1),
                    y * 239 / (height - 1).max(1),
                    (x + y) * 239 / (width + height - 2).max(1),
                ];
                for (value, ramp) in pixel.iter_mut().zip(ramps) {
                    *value = (*value >> 4) + ramp as u8;
                }
            }
            Ok(picture)
        }
        _ => Err(format!("unknown picture {kind:?}")),
    }
}

fn mix(mut x: u32) -> u32 {
    for _ in 0..2 {
        x = (x ^ x >> 16).wrapping_mul(0x045D_9F3B);
    }
    x ^ x >> 16
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _: u32| crc >> 1 ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step))
}

/// A case's fields; one that nobody read is something the case asks for and this runner does not
/// do.
struct Fields<'a> {
    fields: &'a serde_json::Map<String, Value>,
    read: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    fn new(case: &'a Value) -> Result<Self, String> {
        let fields = case.as_object().ok_or("the case is not an object")?;
        Ok(Self { fields, read: Vec::new() })
    }

    fn get(&mut self, name: &'static str) -> Result<&'a Value, String> {
        self.read.push(name);
        self.fields.get(name).ok_or_else(|| format!("the case has no {name:?}"))
    }

    fn text(&mut self, name: &'static str) -> Result<&'a str, String> {
        self.get(name)?.as_str().ok_or_else(|| format!("{name:?} is not a text"))
    }

    fn number(&mut self, name: &'static str) -> Result<f64, String> {
        self.get(name)?.as_f64().ok_or_else(|| format!("{name:?} is not a number"))
    }

    fn whole(&mut self, name: &'static str) -> Result<u32, String> {
        let value = self.get(name)?.as_u64().and_then(|v| u32::try_from(v).ok());
        value.ok_or_else(|| format!("{name:?} is not a whole number"))
    }

    fn side(&mut self, name: &'static str) -> Result<u32, String> {
        let value = self.whole(name)?;
        if (1..=1 << 14).contains(&value) {
            Ok(value)
        } else {
            Err(format!("{name:?} is not a side from 1 to 16384"))
        }
    }

    fn all_read(&self) -> Result<(), String> {
        match self.fields.keys().find(|name| !self.read.contains(&name.as_str())) {
            Some(name) => Err(format!("the case's field {name:?} is not understood")),
            None => Ok(()),
        }
    }
}
