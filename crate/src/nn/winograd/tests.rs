//! Values and both gradients against the library's convolution in f64.

use super::*;

fn random(shape: &[i64]) -> Tensor {
    Tensor::randn(shape, (Kind::Float, Device::Cpu))
}

/// y, dx and dw, on values of dtype `kind`.
fn run(x: &Tensor, w: &Tensor, kind: Kind) -> [Tensor; 3] {
    let leaf = |t: &Tensor, kind| t.to_kind(kind).copy().set_requires_grad(true);
    let x = leaf(x, kind);
    let w = leaf(w, if kind == Kind::Double { Kind::Double } else { Kind::Float });
    let y = match kind {
        Kind::Float => custom_conv::apply::<Winograd<f32>>(&x, &w).unwrap(),
        Kind::BFloat16 => custom_conv::apply::<Winograd<i16>>(&x, &w).unwrap(),
        _ => x.conv2d(&w, None::<&Tensor>, [1, 1], [1, 1], [1, 1], 1),
    };
    assert_eq!(y.kind(), kind);
    let g = Tensor::arange(y.numel() as i64, (Kind::Double, Device::Cpu)).sin();
    (&y * g.to_kind(Kind::BFloat16).to_kind(kind).view_as(&y)).sum(kind).backward();
    [y.detach(), x.grad(), w.grad()]
}

/// Root of the mean square of `x`.
fn size_of_values(x: &Tensor) -> f64 {
    x.to_kind(Kind::Double).square().mean(Kind::Double).double_value(&[]).sqrt()
}

/// Products of bf16 multiply in f32 and round a result once; transforms make a little more of it.
/// Where the processor has no units for them the library emulates: few shapes then, for time.
#[test]
fn in_bf16_it_equals_the_convolution_to_a_fiftieth() {
    tch::manual_seed(5);
    for (n, c, o, h, w) in
        [(3, 16, 32, 8, 8), (2, 64, 16, 5, 7), (5, 32, 48, 4, 4), (40, 64, 64, 16, 16)]
    {
        let coarse = |shape: &[i64]| random(shape).to_kind(Kind::BFloat16).to_kind(Kind::Float);
        let (x, weight) = (coarse(&[n, c, h, w]), coarse(&[o, c, 3, 3]));
        let (fast, plain) = (run(&x, &weight, Kind::BFloat16), run(&x, &weight, Kind::Double));
        for (which, (fast, plain)) in ["y", "dx", "dw"].iter().zip(fast.iter().zip(&plain)) {
            let error = size_of_values(&(fast - plain)) / size_of_values(plain);
            println!("{which} {n}x{c}x{o} {h}x{w}: {error:.1e}");
            assert!(error < 0.02, "{which}: {error}");
        }
    }
}

#[test]
fn it_equals_the_convolution_and_its_gradients() {
    tch::manual_seed(3);
    // Whole tiles, tiles over the border, one row of tiles, several chunks.
    for (n, c, o, h, w) in [
        (3, 16, 32, 8, 8),
        (2, 64, 16, 5, 7),
        (5, 32, 48, 4, 4),
        (1, 16, 16, 13, 4),
        (9, 64, 64, 28, 30),
    ] {
        for channels_last in [true, false] {
            let (x, weight) = (random(&[n, c, h, w]), random(&[o, c, 3, 3]));
            let x = if channels_last { super::super::store::channels_last(&x).unwrap() } else { x };
            let (fast, plain) = (run(&x, &weight, Kind::Float), run(&x, &weight, Kind::Double));
            for (which, (fast, plain)) in ["y", "dx", "dw"].iter().zip(fast.iter().zip(&plain)) {
                assert_eq!(fast.size(), plain.size());
                let scale = plain.abs().max().double_value(&[]);
                let deviation = (fast.to_kind(Kind::Double) - plain).abs().max().double_value(&[]);
                println!("{which} {n}x{c}x{o} {h}x{w}: {:.1e}", deviation / scale);
                assert!(deviation < 2e-5 * scale, "{which}: {deviation} of {scale}");
            }
        }
    }
}

#[test]
fn only_wanted_gradients_are_made_and_none_without_autograd() {
    let (x, weight) = (random(&[4, 16, 8, 8]), random(&[16, 16, 3, 3]));
    let y = custom_conv::apply::<Winograd<f32>>(&x, &weight).unwrap();
    assert!(!y.requires_grad());
    let trained = weight.copy().set_requires_grad(true);
    custom_conv::apply::<Winograd<f32>>(&x, &trained).unwrap().sum(Kind::Float).backward();
    assert!(trained.grad().defined() && !x.grad().defined());
}

#[test]
fn what_would_not_gain_is_left_to_the_library() {
    let weight = random(&[64, 64, 3, 3]);
    let applies = |shape: &[i64], weight: &Tensor| applies(&random(shape), weight);
    assert!(applies(&[64, 64, 8, 8], &weight));
    assert!(!applies(&[15, 64, 8, 8], &weight));
    assert!(!applies(&[1024, 64, 2, 2], &weight));
    assert!(!applies(&[64, 3, 32, 32], &random(&[64, 3, 3, 3])));
    assert!(!super::applies(&random(&[64, 64, 8, 8]).to_kind(Kind::Double), &weight));
    let coarse = random(&[64, 64, 8, 8]).to_kind(Kind::BFloat16);
    assert_eq!(super::applies(&coarse, &weight), has_fast_bf16() && !has_bf16_tiles());
    // Its gradient of the weight gains there too.
    let gains = |x: &Tensor, weight: &Tensor| weight_gradient(x, weight, x).unwrap().is_some();
    assert_eq!(gains(&coarse, &weight), has_fast_bf16() && has_wide_vectors());
    assert!(!gains(&random(&[64, 64, 8, 8]), &weight));
    assert!(!gains(&coarse.narrow(0, 0, 15), &weight));
    let wide = random(&[64, 192, 8, 8]).to_kind(Kind::BFloat16);
    assert!(!gains(&wide, &random(&[192, 192, 3, 3])));
}
