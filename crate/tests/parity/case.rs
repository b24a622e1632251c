//! A golden file, its inputs by rule, and a record of what was read of it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use tch::{Kind, Tensor};

/// One golden file.
pub struct Case {
    file: Value,
    read: RefCell<BTreeSet<String>>,
}

/// Result of a case: its worst deviation.
pub type Outcome = Result<f64, String>;

impl Case {
    /// None for a file that lists cases instead of being one.
    pub fn read(path: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(path).unwrap();
        let file: Value = serde_json::from_str(&text).unwrap();
        let is_case = file.get("case").is_some();
        is_case.then(|| Self { file, read: RefCell::default() })
    }

    fn mark(&self, section: &str, key: &str) {
        self.read.borrow_mut().insert(format!("{section}.{key}"));
    }

    pub fn kind(&self) -> &str {
        self.mark("case", "name");
        self.mark("case", "kind");
        self.file["case"]["kind"].as_str().unwrap_or("none")
    }

    pub fn setting(&self, key: &str) -> Option<&Value> {
        self.mark("case", key);
        self.file["case"].get(key)
    }

    pub fn int(&self, key: &str) -> i64 {
        self.setting(key).and_then(Value::as_i64).unwrap_or_else(|| panic!("{key}: an integer"))
    }

    pub fn float(&self, key: &str) -> f64 {
        self.setting(key).and_then(Value::as_f64).unwrap_or_else(|| panic!("{key}: a number"))
    }

    pub fn float_or(&self, key: &str, default: f64) -> f64 {
        self.setting(key).and_then(Value::as_f64).unwrap_or(default)
    }

    pub fn text(&self, key: &str) -> &str {
        self.setting(key).and_then(Value::as_str).unwrap_or_else(|| panic!("{key}: a string"))
    }

    pub fn dtype(&self) -> Kind {
        match self.text("dtype") {
            "f64" => Kind::Double,
            "f32" => Kind::Float,
            other => panic!("dtype {other}"),
        }
    }

    pub fn expected(&self, key: &str) -> &Value {
        self.mark("expected", key);
        &self.file["expected"][key]
    }

    pub fn image(&self) -> Outcome {
        let bytes = |value: &Value| -> Vec<u8> {
            let list = value.as_array().unwrap();
            list.iter().map(|v| u8::try_from(v.as_u64().unwrap()).unwrap()).collect()
        };
        let shape: Vec<usize> = self.file["shape"]
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v.as_u64().unwrap() as usize)
            .collect();
        let salt = self.salt();
        for key in self.file["case"].as_object().unwrap().keys() {
            self.mark("case", key); // image::run rejects fields it does not know
        }
        let (expected, row) = (bytes(&self.file["expected"]), bytes(&self.file["input_first_row"]));
        super::image::run(&self.file["case"], salt, &expected, &shape, &row)
    }

    fn salt(&self) -> u32 {
        self.file["fill_salt"].as_u64().unwrap() as u32
    }

    /// Every field of the case and of its expectation was looked at.
    pub fn all_read(&self) -> Result<(), String> {
        let read = self.read.borrow();
        for section in ["case", "expected"] {
            for key in self.file[section].as_object().into_iter().flat_map(|object| object.keys()) {
                if !read.contains(&format!("{section}.{key}")) {
                    return Err(format!("field {section}.{key} was not read"));
                }
            }
        }
        Ok(())
    }

    /// Uniform in [-1, 1), the rule of the golden README.
    pub fn fill(&self, name: &str, shape: &[i64]) -> Tensor {
        let key = crc32(name.as_bytes()) ^ self.salt();
        let count = shape.iter().product::<i64>() as u64;
        let values: Vec<f64> = (0..count)
            .map(|i| {
                let mut x = (i.wrapping_mul(2_654_435_761).wrapping_add(u64::from(key))) as u32;
                for _ in 0..2 {
                    x ^= x >> 16;
                    x = x.wrapping_mul(0x045D_9F3B);
                }
                x ^= x >> 16;
                f64::from(x) / 4_294_967_296.0 * 2.0 - 1.0
            })
            .collect();
        Tensor::from_slice(&values).reshape(shape).to_kind(self.dtype())
    }

    /// A parameter's value by the rule: scaled by fan-in, norm scales around 1, small biases.
    pub fn parameter(&self, name: &str, shape: &[i64]) -> Tensor {
        let values = self.fill(name, shape);
        if shape.len() >= 2 {
            let fan_in = shape.iter().skip(1).product::<i64>();
            values * (6.0 / fan_in as f64).sqrt()
        } else if name.ends_with("weight") {
            1.0 + 0.1 * values
        } else {
            0.1 * values
        }
    }

    /// Relative tolerance: f64 1e-9 (traces 1e-7), f32 1e-4 (traces 1e-3).
    pub fn tolerance(&self) -> f64 {
        match (self.dtype(), self.kind() == "trace") {
            (Kind::Double, false) => 1e-9,
            (Kind::Double, true) => 1e-7,
            (_, false) => 1e-4,
            (_, true) => 1e-3,
        }
    }

    /// Largest |got - expected| over the scale of the expectation; an error above the tolerance.
    pub fn close(&self, what: &str, got: &[f64], expected: &Value) -> Outcome {
        let expected = numbers(expected);
        if got.len() != expected.len() {
            return Err(format!("{what}: {} values, expected {}", got.len(), expected.len()));
        }
        let scale = expected.iter().fold(0.0_f64, |m, x| m.max(x.abs())).max(1e-12);
        let mut worst = 0.0_f64;
        for (i, (got, expected)) in got.iter().zip(&expected).enumerate() {
            let deviation = (got - expected).abs() / scale;
            if deviation.is_nan() || deviation > self.tolerance() {
                return Err(format!("{what}[{i}]: {got}, expected {expected}"));
            }
            worst = worst.max(deviation);
        }
        Ok(worst)
    }

    /// Named numbers: the same names, each within the relative tolerance.
    pub fn close_by_name(
        &self,
        what: &str,
        got: impl IntoIterator<Item = (String, f64)>,
        expected: &Value,
    ) -> Outcome {
        let expected = expected.as_object().ok_or("not an object")?;
        let mut left: BTreeSet<&String> = expected.keys().collect();
        let mut worst = 0.0_f64;
        for (name, value) in got {
            let Some(reference) = expected.get(&name) else {
                return Err(format!("{what}: {name} is not expected"));
            };
            left.remove(&name);
            worst = worst.max(self.close(&name, &[value], reference)?);
        }
        match left.first() {
            Some(name) => Err(format!("{what}: {name} is missing")),
            None => Ok(worst),
        }
    }
}

/// A number or a list of numbers.
fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(list) => list.iter().map(|v| v.as_f64().unwrap_or(f64::NAN)).collect(),
        other => vec![other.as_f64().unwrap_or(f64::NAN)],
    }
}

/// A tensor's values in row-major order.
pub fn listed(x: &Tensor) -> Vec<f64> {
    Vec::<f64>::try_from(&x.detach().contiguous().to_kind(Kind::Double).reshape([-1])).unwrap()
}

/// Euclidean length.
pub fn norm(x: &Tensor) -> f64 {
    x.detach().to_kind(Kind::Double).norm().double_value(&[])
}

/// The checksum zlib calls crc32, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 }
        })
    })
}
