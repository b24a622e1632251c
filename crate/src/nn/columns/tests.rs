//! Against the library's convolution in f64.

use super::*;

/// y, dx and dw, by the library in f64 where `kind` is that.
fn run<const STRIDE: i64>(x: &Tensor, w: &Tensor, g: &Tensor, kind: Kind) -> [Tensor; 3] {
    let leaf = |t: &Tensor, kind| t.to_kind(kind).copy().set_requires_grad(true);
    let padding = w.size()[2] / 2;
    let x = leaf(x, kind);
    let w = leaf(w, if kind == Kind::Double { kind } else { Kind::Float });
    let y = match kind {
        Kind::Double => x.conv2d(&w, None::<&Tensor>, [STRIDE; 2], [padding; 2], [1, 1], 1),
        _ => custom_conv::apply::<Columns<STRIDE>>(&x, &w).unwrap(),
    };
    assert_eq!(y.kind(), kind);
    (&y * g.to_kind(kind)).sum(kind).backward();
    [y.detach(), x.grad(), w.grad()]
}

/// In the memory order of a training, and in that of a tensor that somebody made.
fn compare<const STRIDE: i64>([n, c, o, height, width, kernel]: [i64; 6]) {
    tch::manual_seed(3);
    let coarse = |shape: [i64; 4]| {
        let values = Tensor::randn(shape, (Kind::Float, Device::Cpu));
        values.to_kind(Kind::BFloat16).to_kind(Kind::Float)
    };
    let places = |side: i64| (side + STRIDE - 1) / STRIDE;
    let made =
        [[n, c, height, width], [o, c, kernel, kernel], [n, o, places(height), places(width)]];
    let dense = made.map(coarse);
    let last = dense.each_ref().map(|t| crate::nn::store::channels_last(t).unwrap());
    let [x, w, g] = dense.each_ref();
    let plain = run::<STRIDE>(x, w, g, Kind::Double);
    for (kind, tolerance) in [(Kind::Float, 2e-6), (Kind::BFloat16, 1e-2)] {
        for [x, w, g] in [dense.each_ref(), last.each_ref()] {
            let fast = run::<STRIDE>(x, w, g, kind);
            for (which, (fast, plain)) in ["y", "dx", "dw"].iter().zip(fast.iter().zip(&plain)) {
                assert_eq!(fast.size(), plain.size());
                let scale = plain.abs().max().double_value(&[]);
                let off = (fast.to_kind(Kind::Double) - plain).abs().max().double_value(&[]);
                assert!(off < tolerance * scale, "{which} {kind:?} {n} {c}: {off} of {scale}");
            }
        }
    }
}

#[test]
fn it_equals_the_convolution_and_its_gradients() {
    for of in [[5, 6, 7, 4, 4, 3], [3, 16, 24, 8, 8, 3], [70, 32, 16, 8, 8, 3]] {
        compare::<2>(of);
    }
    // Odd maps, another height than width, maps smaller than the kernel, a stem of 7x7.
    for of in [[2, 4, 5, 7, 10, 3], [3, 3, 16, 13, 9, 7], [2, 3, 8, 2, 1, 7], [1, 2, 3, 1, 1, 3]] {
        compare::<2>(of);
        compare::<1>(of);
    }
    compare::<2>([3, 16, 24, 7, 9, 1]);
    compare::<2>([3, 16, 24, 8, 8, 1]);
}

#[test]
fn in_bf16_many_tiles_of_a_small_kernel_are_left_to_winograd() {
    tch::manual_seed(4);
    let random = |shape: [i64; 4]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
    let [x, w, g] = [[70, 32, 8, 8], [16, 32, 3, 3], [70, 16, 8, 8]].map(random);
    let coarse = [&x, &g].map(|t| t.to_kind(Kind::BFloat16));
    let Some(expected) = winograd::weight_gradient(&coarse[0], &w, &coarse[1]).unwrap() else {
        return assert!(!has_fast_bf16());
    };
    let [_, _, dw] = run::<1>(&x, &w, &g, Kind::BFloat16);
    assert!(dw == expected);
}

/// In f32, whatever the processor, in one product and in many, which begin and end within pictures: odd maps,
/// maps smaller than the kernel, a stem, whose rows are no whole blocks, and layers, whose are.
#[test]
fn all_three_products_are_the_convolutions() {
    tch::manual_seed(8);
    for [n, c, o, height, width, kernel, stride] in [
        [30, 32, 24, 9, 8, 3, 2],
        [13, 16, 8, 4, 4, 3, 2],
        [5, 3, 16, 31, 30, 7, 2],
        [3, 7, 5, 7, 10, 3, 1],
        [2, 3, 8, 2, 1, 7, 2],
        [4, 6, 9, 5, 5, 1, 2],
    ] {
        let places = |side: i64| (side + stride - 1) / stride;
        let shapes =
            [[n, c, height, width], [o, c, kernel, kernel], [n, o, places(height), places(width)]];
        let [x, w, g] = shapes.map(|shape| Tensor::randn(shape, (Kind::Float, Device::Cpu)));
        let window = Window::of(&x, &w, stride).unwrap();
        let [wide_x, wide_w] = [&x, &w].map(|t| t.to_kind(Kind::Double).set_requires_grad(true));
        let (strides, padding) = ([stride; 2], [kernel / 2; 2]);
        let plain = wide_x.conv2d(&wide_w, None::<&Tensor>, strides, padding, [1, 1], 1);
        (&plain * g.to_kind(Kind::Double)).sum(Kind::Double).backward();
        let dw = wide_w.grad().permute([0, 2, 3, 1]).reshape([o, -1]);
        for together in [1, 7, 1 << 20] {
            let made = [
                ("y", values::<f32>(&x, &w, window, together), plain.detach()),
                ("dx", input_gradient::<f32>(&w, &g, window, together), wide_x.grad()),
                ("dw", product::<f32>(&x, &g, window, together), dw.shallow_clone()),
            ];
            for (which, fast, plain) in made {
                let fast = fast.unwrap();
                assert_eq!(fast.size(), plain.size());
                let off = (fast.to_kind(Kind::Double) - &plain).abs().max().double_value(&[]);
                let scale = plain.abs().max().double_value(&[]);
                assert!(off < 2e-6 * scale, "{which} {n}x{c} {together}: {off} of {scale}");
            }
        }
    }
}

#[test]
fn other_kernels_and_dtypes_are_left_to_the_library() {
    let map = |side, kind| Tensor::zeros([2, 4, side, side], (kind, Device::Cpu));
    let kernel = |side| Tensor::zeros([4, 4, side, side], (Kind::Float, Device::Cpu));
    let w = kernel(3);
    assert!(applies(&map(4, Kind::Float), &w, 2));
    assert!(!applies(&map(4, Kind::Float), &w, 1));
    assert!(!applies(&map(4, Kind::Float), &kernel(7), 2));
    assert!(!applies(&map(8, Kind::Float), &w, 2));
    assert!(!applies(&Tensor::zeros([2, 4, 4, 8], (Kind::Float, Device::Cpu)), &w, 2));
    for (side, kernel) in [(4, kernel(3)), (9, kernel(3)), (16, kernel(7))] {
        assert_eq!(applies(&map(side, Kind::BFloat16), &kernel, 2), has_fast_bf16());
    }
    assert_eq!(applies(&map(8, Kind::BFloat16), &kernel(1), 2), has_bf16_tiles());
    assert!(!applies(&map(7, Kind::BFloat16), &kernel(1), 1));
    assert_eq!(applies(&map(7, Kind::BFloat16), &kernel(1), 2), has_fast_bf16());
    assert!(!applies(&map(8, Kind::BFloat16), &kernel(2), 2));
    for empty in [[0, 4, 8, 8], [2, 4, 0, 8]] {
        let empty = Tensor::zeros(empty, (Kind::BFloat16, Device::Cpu));
        assert!(!applies(&empty, &w, 2));
    }
    assert!(!applies(&map(4, Kind::Double), &w, 2));
    assert_eq!(multiplies(&map(16, Kind::BFloat16), &w, 2), has_bf16_tiles());
    assert!(!multiplies(&map(17, Kind::BFloat16), &w, 2));
    assert!(!multiplies(&map(16, Kind::BFloat16), &w, 1));
    assert!(!multiplies(&map(16, Kind::BFloat16), &kernel(1), 2));
    assert!(!multiplies(&map(4, Kind::Float), &w, 2));
    assert!(conv(&map(4, Kind::Float), &w, 3).unwrap().is_none());
}
