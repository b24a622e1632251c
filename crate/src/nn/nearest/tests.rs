//! Every path gives the same row, whatever the similarities are like.

use super::*;
use crate::nn::nt_xent::normalize;

fn unit(shape: [i64; 2]) -> Tensor {
    normalize(&Tensor::randn(shape, (Kind::Float, Device::Cpu))).unwrap()
}

/// Rows of which many are nearly or exactly alike.
fn clustered(rows: i64, dim: i64, spread: f64) -> Tensor {
    let centres = unit([7, dim]);
    let of = Tensor::randint(7, [rows], (Kind::Int64, Device::Cpu));
    normalize(&(centres.index_select(0, &of) + unit([rows, dim]) * spread)).unwrap()
}

fn listed(index: &Tensor) -> Vec<i64> {
    Vec::<i64>::try_from(index).unwrap()
}

#[test]
fn all_paths_find_the_same_rows() {
    tch::manual_seed(1);
    let (mut by_products, mut by_codes) = (0, 0);
    for (rows, dim) in [(1, 8), (65, 3), (4096, 128), (9001, 64)] {
        let alike = [clustered(rows, dim, 0.3), clustered(rows, dim, 0.0)];
        for bank in alike.iter().chain(&[unit([rows, dim])]) {
            for count in [1, 33] {
                let queries = clustered(count, dim, 0.5);
                let (similarity, index) = blocked::<f32>(&queries, bank).unwrap();
                let (other, everywhere) = whole(&queries, bank).unwrap();
                assert_eq!(listed(&index), listed(&everywhere), "{rows} {dim}");
                assert!((&similarity - other).abs().max().double_value(&[]) < 1e-6);
                let codes = Codes::of(bank).unwrap();
                let ways = [
                    (candidates::by_products(&queries, bank).unwrap(), &mut by_products),
                    (candidates::by_codes(&queries, bank, &codes).unwrap(), &mut by_codes),
                ];
                for (found, compared) in ways {
                    let Some((close, found)) = found else { continue };
                    assert_eq!(listed(&index), listed(&found), "{rows} {dim}");
                    assert!((&similarity - close).abs().max().double_value(&[]) < 1e-6);
                    *compared += 1;
                }
            }
        }
    }
    assert_eq!(by_products, 24);
    // Where clusters meet, more rows are alike by their codes than are worth ranking.
    assert!((18..24).contains(&by_codes), "{by_codes} answers of 24");
}

#[test]
fn what_found_the_candidates_decides_not_a_bit() {
    tch::manual_seed(4);
    let (queries, rows) = (clustered(64, 96, 0.5), clustered(9001, 96, 0.8));
    let codes = Codes::of(&rows).unwrap();
    let by_codes = nearest_rows(&queries, &rows, Some(&codes)).unwrap();
    let without = nearest_rows(&queries, &rows, None).unwrap();
    assert!(candidates::by_codes(&queries, &rows, &codes).unwrap().is_some());
    assert_eq!((by_codes.0.equal(&without.0), by_codes.1.equal(&without.1)), (true, true));
}

#[test]
fn candidates_are_few_where_rows_differ_and_given_up_where_they_do_not() {
    tch::manual_seed(2);
    let queries = unit([16, 128]);
    let alike = unit([1, 128]).expand([5000, 128], false).contiguous();
    let found = |rows: &Tensor| candidates::by_products(&queries, rows).unwrap().is_some();
    assert!(found(&unit([8192, 128])) && !found(&alike));
    let found = |rows: &Tensor| {
        let codes = Codes::of(rows).unwrap();
        candidates::by_codes(&queries, rows, &codes).unwrap().is_some()
    };
    assert!(found(&unit([8192, 128])) && !found(&alike));
    let rows = unit([100, 128]);
    let _ = rows.get(7).get(7).fill_(f64::NAN);
    assert!(!found(&rows), "a row that is no number has no code");
}

#[test]
fn codes_follow_what_is_written_and_say_when_they_no_longer_fit() {
    tch::manual_seed(3);
    let (queries, rows, new) = (unit([16, 64]), unit([512, 64]), unit([32, 64]));
    let mut codes = Codes::of(&rows).unwrap();
    let check = |queries: &Tensor, rows: &Tensor, codes: &Codes| {
        let found = candidates::by_codes(queries, rows, codes).unwrap().unwrap().1;
        assert_eq!(listed(&found), listed(&blocked::<f32>(queries, rows).unwrap().1));
    };
    rows.narrow(0, 100, 32).copy_(&new);
    codes.write(100, &new).unwrap();
    assert!(!codes.is_worn());
    check(&queries, &rows, &codes);
    check(&new, &rows, &codes);
    // All of its length in one component: far above the scale, and cut off.
    let peak = Tensor::zeros([1, 64], (Kind::Float, Device::Cpu));
    let _ = peak.get(0).get(5).fill_(1.0);
    rows.narrow(0, 3, 1).copy_(&peak);
    codes.write(3, &peak).unwrap();
    assert!(codes.is_worn());
    check(&peak, &rows, &codes);
    codes.write(3, &(peak * f64::NAN)).unwrap();
    codes.write(3, &new.narrow(0, 0, 1)).unwrap();
    assert!(codes.is_worn() && codes.error.is_nan(), "what was no number is not forgotten");
}

#[test]
fn the_first_within_the_tie_of_the_greatest_wins_across_blocks() {
    let far = BLOCK_ROWS + 5;
    let last = far + BLOCK_ROWS;
    let step = f64::from(f32::EPSILON);
    // Rising by 3 epsilons: the second is within the tie of the greatest, the first is not.
    for (values, expected) in [([0.5, 0.5 + 3.0 * step, 0.5 + 6.0 * step], far), ([0.5; 3], 3)] {
        let rows = Tensor::zeros([last + 1, 1], (Kind::Float, Device::Cpu));
        for (place, value) in [3, far, last].into_iter().zip(values) {
            let _ = rows.get(place).fill_(value);
        }
        let query = Tensor::ones([1, 1], (Kind::Float, Device::Cpu));
        let mut found = vec![blocked::<f32>(&query, &rows), whole(&query, &rows)];
        found.extend(candidates::by_products(&query, &rows).transpose());
        let codes = Codes::of(&rows).unwrap();
        found.extend(candidates::by_codes(&query, &rows, &codes).transpose());
        assert_eq!(found.len(), 4);
        for found in found {
            assert_eq!(listed(&found.unwrap().1), [expected]);
        }
    }
}

#[test]
fn a_query_that_is_no_number_finds_no_similarity() {
    let query = Tensor::full([1, 4], f64::NAN, (Kind::Float, Device::Cpu));
    let (similarity, index) = blocked::<f32>(&query, &unit([10, 4])).unwrap();
    assert!(similarity.double_value(&[0]).is_nan());
    assert_eq!(listed(&index), [0]);
}

/// Tiles of ours may have other shapes than the library's.
#[test]
fn the_library_computes_the_same_after_a_look_up() {
    tch::manual_seed(5);
    let (queries, rows) = (unit([64, 40]), unit([5000, 40]));
    let codes = Codes::of(&rows).unwrap();
    let [a, b] = [[300, 90], [90, 70]]
        .map(|shape| Tensor::randn(shape, (Kind::Float, Device::Cpu)).to_kind(Kind::BFloat16));
    let before = a.matmul(&b);
    for _ in 0..3 {
        assert!(candidates::by_codes(&queries, &rows, &codes).unwrap().is_some());
        assert!(a.matmul(&b) == before);
    }
}
