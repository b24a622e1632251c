//! Backbone weights from other programs, under each of their namings.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first thing that is wrong"
)]

mod common;

use std::path::PathBuf;

use common::{difference, network, normal, snapshot};
use nnclr::checkpoint::{export_backbone, import_backbone, read, write};
use nnclr::nn::Nnclr;
use tch::{Kind, Tensor};

type Named = Vec<(String, Tensor)>;

/// The backbone of a network of another seed, under torchvision's names.
fn source() -> (Nnclr, Named) {
    let model = network(Kind::Float, 1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("backbone");
    // Statistics that differ from the start.
    let _ = model.forward(&normal(&[4, 3, 16, 16], Kind::Float, 1)).unwrap();
    export_backbone(&path, &model, "{}").unwrap();
    let (tensors, _) = read(&path).unwrap();
    (model, tensors.into_iter().collect())
}

fn backbone_of(model: &Nnclr) -> Named {
    snapshot(model).into_iter().filter(|(name, _)| name.starts_with("backbone.")).collect()
}

fn renamed(tensors: &Named, name: impl Fn(&str) -> String) -> Named {
    tensors.iter().map(|(old, tensor)| (name(old), tensor.shallow_clone())).collect()
}

/// As `nn.Sequential(*list(resnet18().children())[:-1])` counts them.
fn numbered(name: &str) -> String {
    let children = ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"];
    let (child, rest) = name.split_once('.').unwrap();
    format!("{}.{rest}", children.iter().position(|c| *c == child).unwrap())
}

struct File(#[allow(dead_code, reason = "keeps the folder")] tempfile::TempDir, PathBuf);

fn file(tensors: &Named) -> File {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    write(&path, tensors, "{}").unwrap();
    File(folder, path)
}

#[test]
fn an_exported_backbone_has_torchvisions_names() {
    let (_, tensors) = source();
    let names: Vec<&str> = tensors.iter().map(|(name, _)| name.as_str()).collect();
    for name in [
        "conv1.weight",
        "bn1.running_var",
        "bn1.num_batches_tracked",
        "layer1.0.conv1.weight",
        "layer2.0.downsample.0.weight",
        "layer2.0.downsample.1.bias",
        "layer4.0.bn2.weight",
    ] {
        assert!(names.contains(&name), "{name}");
    }
    assert!(names.iter().all(|name| !name.contains("head") && !name.starts_with("backbone")));
}

#[test]
fn every_naming_gives_the_same_backbone() {
    let (from, tensors) = source();
    let with_head = |prefix: &str| {
        let mut tensors = renamed(&tensors, |name| format!("{prefix}{name}"));
        tensors.push((format!("{prefix}fc.weight"), normal(&[10, 512], Kind::Float, 1)));
        tensors
    };
    let namings = [
        ("torchvision", with_head(""), vec!["fc.weight"]),
        ("prefixed", with_head("backbone."), vec!["fc.weight"]),
        ("numbered", renamed(&tensors, numbered), vec![]),
        (
            "numbered and prefixed",
            renamed(&tensors, |n| format!("backbone.{}", numbered(n))),
            vec![],
        ),
        ("wrapped", renamed(&tensors, |name| format!("module.backbone.{name}")), vec![]),
        ("our checkpoint", renamed(&tensors, |name| format!("model/backbone.{name}")), vec![]),
    ];
    for (naming, tensors, expected) in namings {
        let model = network(Kind::Float, 2);
        let heads = |model: &Nnclr| -> Named {
            snapshot(model).into_iter().filter(|(name, _)| name.contains("_head.")).collect()
        };
        let before = heads(&model);
        let unexpected = import_backbone(&file(&tensors).1, &model).unwrap();
        assert_eq!(unexpected, expected, "{naming}");
        assert_eq!(difference(&backbone_of(&from), &backbone_of(&model)), None, "{naming}");
        assert_eq!(difference(&before, &heads(&model)), None, "{naming}: the heads");
    }
}

#[test]
fn other_float_dtypes_are_converted_and_the_batch_counter_may_be_missing() {
    let (from, tensors) = source();
    let kept = tensors.iter().filter(|(name, _)| !name.ends_with("num_batches_tracked"));
    let wide = kept.map(|(name, tensor)| (name.clone(), tensor.to_kind(Kind::Double))).collect();
    let model = network(Kind::Float, 2);
    assert_eq!(import_backbone(&file(&wide).1, &model).unwrap(), Vec::<String>::new());
    let floats = |model: &Nnclr| -> Named {
        backbone_of(model).into_iter().filter(|(_, t)| t.kind() == Kind::Float).collect()
    };
    assert_eq!(difference(&floats(&from), &floats(&model)), None);
}

#[test]
fn missing_and_mis_shaped_weights_are_named_and_nothing_is_copied() {
    let (_, tensors) = source();
    let model = network(Kind::Float, 2);
    let before = snapshot(&model);
    let without = |gone: &str| -> Named {
        renamed(&tensors, str::to_owned).into_iter().filter(|(name, _)| name != gone).collect()
    };
    let replaced = |name: &str, value: Tensor| -> Named {
        let mut tensors = without(name);
        tensors.push((name.to_owned(), value));
        tensors
    };
    let last = "layer4.0.bn2.running_var";
    let cases = [
        without(last),
        without("conv1.weight"),
        replaced(last, normal(&[511], Kind::Float, 1)),
        replaced("layer4.0.conv2.weight", normal(&[512, 512, 1, 1], Kind::Float, 1)),
        replaced(last, Tensor::ones([512], (Kind::Int64, tch::Device::Cpu))),
        vec![],
    ];
    for (i, tensors) in cases.iter().enumerate() {
        let error = import_backbone(&file(tensors).1, &model).unwrap_err();
        assert_eq!(error.code(), "CHECKPOINT", "case {i}: {error}");
        assert_eq!(difference(&before, &snapshot(&model)), None, "case {i}");
    }
    let error = import_backbone(&file(&cases[0]).1, &model).unwrap_err().to_string();
    assert!(error.contains(last), "{error}");
}
