//! Checkpoint files: damage is found, what does not fit changes nothing, a failed write leaves nothing.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first thing that is wrong"
)]

mod common;

use std::path::Path;

use common::{PLAIN, bank, difference, network, normal, optimizer, snapshot};
use nnclr::checkpoint::{self, NamedTensors, read, read_any, write};
use nnclr::nn::{MemoryBank, Nnclr};
use nnclr::optim::{Optimizer, Rule};
use nnclr::step::{Hyper, Positive, Views, step};
use tch::{Device, Kind, Tensor};

const METADATA: &str = r#"{"step":3,"text":"quotes \" and \u00e9 and é","list":[1,2.5]}"#;

fn few_tensors() -> Vec<(String, Tensor)> {
    vec![
        ("a/weight".into(), normal(&[4, 5], Kind::Float, 1)),
        ("a/wide".into(), normal(&[3], Kind::Double, 2)),
        ("b/half".into(), normal(&[7], Kind::Half, 3)),
        ("b/brain".into(), normal(&[2, 2], Kind::BFloat16, 4)),
        ("counter".into(), Tensor::from(7_i64)),
        ("none".into(), Tensor::zeros([0, 3], (Kind::Float, Device::Cpu))),
    ]
}

fn pairs(tensors: NamedTensors) -> Vec<(String, Tensor)> {
    tensors.into_iter().collect()
}

#[test]
fn what_was_written_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("é 1.safetensors");
    write(&path, &few_tensors(), METADATA).unwrap();
    let (tensors, metadata) = read(&path).unwrap();
    let mut expected = few_tensors();
    expected.sort_by(|(a, _), (b, _)| a.cmp(b));
    assert_eq!(difference(&expected, &pairs(tensors)), None);
    assert_eq!(metadata, METADATA);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no partial file is left");
}

#[test]
fn other_programs_read_the_file_whatever_order_a_tensor_has_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let image = normal(&[2, 3, 4, 5], Kind::Float, 5);
    let channels_last = image.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
    let strided = normal(&[6], Kind::Half, 6).slice(0, 0, 6, 2);
    let tensors = vec![("half".into(), strided), ("weight".into(), channels_last)];
    write(&path, &tensors, METADATA).unwrap();

    let bytes = std::fs::read(&path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.len(), 2);
    for (name, tensor) in &tensors {
        let found = file.tensor(name).unwrap();
        let shape: Vec<i64> = found.shape().iter().map(|&side| side as i64).collect();
        assert_eq!(shape, tensor.size());
        let value = Tensor::from_data_size(found.data(), &shape, tensor.kind());
        assert_eq!(value, *tensor, "{name}");
    }
    assert_eq!(read_any(&path).unwrap()["weight"], image);

    // Of few_tensors the names do not sort as the widths do.
    write(&path, &few_tensors(), METADATA).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    for (name, tensor) in few_tensors() {
        let place = file.tensor(&name).unwrap().data().as_ptr() as usize - bytes.as_ptr() as usize;
        assert_eq!(place % tensor.kind().elt_size_in_bytes(), 0, "{name} starts at {place}");
    }
}

#[test]
fn a_header_that_lies_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let header = |shape: &str, end: u64| {
        format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":[0,{end}]}}}}"#)
    };
    let file = |size: u64, header: &str| {
        let mut bytes = size.to_le_bytes().to_vec();
        bytes.extend(header.bytes());
        bytes.extend([0; 8]);
        std::fs::write(&path, bytes).unwrap();
        read_any(&path)
    };
    let honest = header("[2]", 8);
    let size = honest.len() as u64;
    assert_eq!(file(size, &honest).unwrap()["a"], Tensor::from_slice(&[0_f32; 2]));
    for (size, header) in [
        (size, header("[3]", 8)),
        (header("[3]", 12).len() as u64, header("[3]", 12)),
        (header("[4294967296,4294967296]", 8).len() as u64, header("[4294967296,4294967296]", 8)),
        (size - 1, honest.clone()),
        (size + 9, honest.clone()),
        (u64::MAX, honest.clone()),
        (size, honest.replace("F32", "I32")),
        (size - 2, honest.replace("[2]", "2")),
        (size, honest.replace("\"a\"", "\"\u{e9}\"").replace("}}", "}")),
        (size, honest.replace('"', "'")),
    ] {
        assert_eq!(file(size, &header).unwrap_err().code(), "CHECKPOINT", "{size} {header}");
    }
    assert_eq!(read_any(folder.path()).unwrap_err().code(), "IO");
    // No numbers at all, but sides that no tensor has.
    for shape in
        ["[0,9223372036854775808]", "[0,4611686018427387904,4]", "[4294967296,2147483648,0]"]
    {
        let header = header(shape, 0);
        let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(read_any(&path).unwrap_err().code(), "CHECKPOINT", "{shape}");
    }
}

#[test]
fn what_cannot_be_written_leaves_the_file_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    write(&path, &few_tensors(), METADATA).unwrap();
    let before = std::fs::read(&path).unwrap();
    let tensor = || normal(&[2], Kind::Float, 1);
    let twice = vec![("a".into(), tensor()), ("b".into(), tensor()), ("a".into(), tensor())];
    let reserved = vec![("__metadata__".into(), tensor())];
    let bytes = vec![("a".into(), tensor().to_kind(Kind::Uint8))];
    let long = "x".repeat(100_000_001);
    for (tensors, metadata, code) in [
        (twice, "{}", "CONFIG"),
        (reserved, "{}", "CONFIG"),
        (bytes, "{}", "SHAPE"),
        (few_tensors(), long.as_str(), "CHECKPOINT"),
    ] {
        assert_eq!(write(&path, &tensors, metadata).unwrap_err().code(), code);
        assert_eq!(std::fs::read(&path).unwrap(), before);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[test]
fn a_changed_byte_is_found_or_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (path, damaged) = (folder.path().join("whole"), folder.path().join("damaged"));
    write(&path, &few_tensors(), METADATA).unwrap();
    let (expected, _) = read(&path).unwrap();
    let expected = pairs(expected);
    let bytes = std::fs::read(&path).unwrap();
    let mut harmless = 0;
    for place in 0..bytes.len() {
        for mask in [1, 0x20, 0x80, 0xff] {
            let mut bytes = bytes.clone();
            bytes[place] ^= mask;
            std::fs::write(&damaged, &bytes).unwrap();
            match read(&damaged) {
                Err(error) => assert_eq!(error.code(), "CHECKPOINT", "byte {place}: {error}"),
                Ok((tensors, metadata)) => {
                    assert_eq!(difference(&expected, &pairs(tensors)), None, "byte {place}");
                    assert_eq!(metadata, METADATA, "byte {place}");
                    harmless += 1;
                }
            }
        }
    }
    assert!(harmless < bytes.len() / 10, "{harmless} changes went unseen");
}

#[test]
fn a_file_that_ends_early_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (path, cut) = (folder.path().join("whole"), folder.path().join("cut"));
    write(&path, &few_tensors(), METADATA).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for length in 0..bytes.len() {
        std::fs::write(&cut, &bytes[..length]).unwrap();
        assert_eq!(read(&cut).unwrap_err().code(), "CHECKPOINT", "{length} bytes");
    }
    std::fs::write(&cut, [&bytes[..], &[0]].concat()).unwrap();
    assert_eq!(read(&cut).unwrap_err().code(), "CHECKPOINT", "a byte too many");
    assert_eq!(read(&folder.path().join("no such file")).unwrap_err().code(), "IO");
}

#[test]
fn a_write_that_fails_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let error = write(&missing.join("a.safetensors"), &few_tensors(), "{}").unwrap_err();
    assert_eq!(error.code(), "IO");
    assert!(!missing.exists());
    let occupied = folder.path().join("occupied");
    std::fs::create_dir(&occupied).unwrap();
    assert_eq!(write(&occupied, &few_tensors(), "{}").unwrap_err().code(), "IO");
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(std::fs::read_dir(&occupied).unwrap().count(), 0);
}

/// Network, optimizer and bank after `steps` steps.
struct Parts(Nnclr, Optimizer, MemoryBank);

impl Parts {
    fn new(rule: Rule, seed: u64) -> Self {
        let model = network(Kind::Float, seed);
        let optimizer = optimizer(rule, &model);
        Self(model, optimizer, bank(10, Kind::Float, false))
    }

    fn train(&mut self, first: u64, steps: u64) {
        for k in first..first + steps {
            let x = [0, 1].map(|view| normal(&[4, 3, 16, 16], Kind::Float, 2 * k + view));
            let views = Views { x, samples: &[0, 1, 2, 3], labels: Some(&[1, 1, 0, 2]) };
            let hyper = Hyper { lr: 0.05, ..common::still(Positive::Neighbour) };
            step(&self.0, &mut self.2, &mut self.1, &views, hyper).unwrap();
        }
    }

    fn save(&self, path: &Path) {
        checkpoint::save(path, &self.0, &self.1, &self.2, METADATA).unwrap();
    }

    fn load(&mut self, path: &Path) -> nnclr::Result<String> {
        checkpoint::load(path, &self.0, &self.1, &mut self.2)
    }

    fn everything(&self) -> Vec<(String, Tensor)> {
        let mut all = snapshot(&self.0);
        all.extend(self.1.state());
        all.extend(self.2.state().unwrap());
        all.into_iter().map(|(name, tensor)| (name, tensor.copy())).collect()
    }
}

#[test]
fn training_goes_on_from_a_checkpoint_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c");
    let momentum = Rule::Sgd { momentum: 0.9, nesterov: true };
    for rule in [momentum, Rule::ADAMW] {
        let mut through = Parts::new(rule, 1);
        through.train(0, 2);
        through.save(&path);
        through.train(2, 2);
        let mut resumed = Parts::new(rule, 2);
        assert_eq!(resumed.load(&path).unwrap(), METADATA);
        resumed.train(2, 2);
        assert_eq!(difference(&through.everything(), &resumed.everything()), None, "{rule:?}");
    }
}

#[test]
fn a_checkpoint_that_does_not_fit_leaves_everything_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c");
    let mut other = Parts::new(PLAIN, 1);
    other.train(0, 1);
    other.save(&path);
    let (tensors, _) = read(&path).unwrap();
    let tensors = pairs(tensors);
    let mut target = Parts::new(PLAIN, 2);
    let before = target.everything();
    let last = tensors.iter().rposition(|(name, _)| name.starts_with("model/")).unwrap();
    let bank_rows = tensors.iter().position(|(name, _)| name == "bank/rows").unwrap();
    let counters = tensors.iter().position(|(name, _)| name == "bank/counters").unwrap();
    type Change = Box<dyn Fn(&mut Vec<(String, Tensor)>)>;
    let changes: Vec<(&str, Change)> = vec![
        ("a weight is missing", Box::new(move |t| drop(t.remove(last)))),
        ("the bank is missing", Box::new(move |t| drop(t.remove(bank_rows)))),
        ("a shape is wrong", Box::new(move |t| t[last].1 = t[last].1.unsqueeze(0))),
        ("a dtype is wrong", Box::new(move |t| t[last].1 = t[last].1.to_kind(Kind::Double))),
        ("one is too many", Box::new(|t| t.push(("model/new".into(), Tensor::from(1_i64))))),
        (
            "the position is wrong",
            Box::new(move |t| t[counters].1 = Tensor::from_slice(&[10_i64, 4, 1])),
        ),
        (
            "the filling is wrong",
            Box::new(move |t| t[counters].1 = Tensor::from_slice(&[1_i64, -1, 1])),
        ),
    ];
    for (name, change) in changes {
        let mut tensors: Vec<_> =
            tensors.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
        change(&mut tensors);
        write(&path, &tensors, METADATA).unwrap();
        let error = target.load(&path).unwrap_err();
        assert_eq!(error.code(), "CHECKPOINT", "{name}: {error}");
        assert_eq!(difference(&before, &target.everything()), None, "{name}");
    }
}

#[test]
fn a_checkpoint_of_another_optimizer_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c");
    Parts::new(PLAIN, 1).save(&path);
    assert_eq!(Parts::new(Rule::ADAMW, 1).load(&path).unwrap_err().code(), "CHECKPOINT");
}

#[test]
fn weights_that_are_no_numbers_are_not_saved_and_the_file_before_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let (model, bank) = (network(Kind::Float, 1), bank(8, Kind::Float, false));
    let optimizer = optimizer(PLAIN, &model);
    checkpoint::save(&path, &model, &optimizer, &bank, METADATA).unwrap();
    let before = std::fs::read(&path).unwrap();
    let first = &model.store.entries()[0];
    let spoilt = first.tensor.detach() * f64::NAN;
    model.store.set(&first.name, &spoilt).unwrap();
    let error = checkpoint::save(&path, &model, &optimizer, &bank, METADATA).unwrap_err();
    assert_eq!(error.code(), "DIVERGED", "{error}");
    assert!(error.to_string().contains("conv1.weight became NaN"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}
