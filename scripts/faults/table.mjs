// Ten mistakes that a whole training run hardly shows, and the fast tests that must see each.
// `edits` replace code word by word: the text must be there exactly once, line breaks and indentation aside.

/**
 * @typedef {{ rust: string, name: string } | { ava: string, name: string }} FaultTest a test by its file and name
 * @typedef {{ name: string, file: string, edits: [from: string, to: string][], tests: FaultTest[] }} Fault
 */

const rust = (file, name) => ({ rust: `crate/${file}.rs`, name })
const ava = (file, name) => ({ ava: `__test__/${file}.spec.ts`, name })

/** @type {Fault[]} */
export const FAULTS = [
  {
    name: 'rows enter the bank before the look-up',
    file: 'crate/src/step.rs',
    edits: [
      [
        'fn pass( company: &Company, shares: &Shares, model: &Nnclr, bank: &MemoryBank',
        'fn pass( company: &Company, shares: &Shares, model: &Nnclr, bank: &mut MemoryBank',
      ],
      [
        'let neighbours = [bank.nearest(&z0)?',
        'bank.push(&z1, views.samples, views.labels)?; let neighbours = [bank.nearest(&z0)?',
      ],
      ['bank.push(&found.z[1], &found.samples, found.labels.as_deref())?;', ''],
    ],
    tests: [
      rust('tests/step', 'no_row_of_this_step_is_reachable_in_this_step'),
      ava(
        'algorithm',
        'the bank is looked at before it takes rows: none of this step is a neighbour',
      ),
    ],
  },
  {
    name: 'the bank is missing from checkpoints',
    file: 'crate/src/checkpoint/mod.rs',
    edits: [
      ['in bank.state()? {', 'in bank.state()?.into_iter().take(0) {'],
      ['bank.restore(&|name| get(&format!("bank/{name}")))', 'Ok::<(), Error>(())'],
    ],
    tests: [
      rust('tests/checkpoints', 'training_goes_on_from_a_checkpoint_bit_for_bit'),
      ava('algorithm', 'a checkpoint holds the bank and the momentum of every trained tensor'),
      ava('resume', '4 epochs are stops at the worst moments and resumes, bit for bit'),
    ],
  },
  {
    name: 'the tail of a batch is dropped at the end of the ring',
    file: 'crate/src/nn/memory_bank.rs',
    edits: [['from += run;', 'from = count;']],
    tests: [
      rust('tests/memory_bank', 'the_bank_is_a_queue'),
      ava('algorithm', 'a batch that crosses the end of the bank goes on at its start, whole'),
    ],
  },
  {
    name: 'no detach of the neighbour',
    file: 'crate/src/step.rs',
    edits: [
      [
        'let (z0, z1) = (live0.f_detach()?, live1.f_detach()?);',
        'let (z0, z1) = (live0.shallow_clone(), live1.shallow_clone());',
      ],
    ],
    tests: [
      rust('tests/gradients', 'no_gradient_flows_through_z'),
      ava('algorithm', 'no gradient reaches the network but through p: none'),
    ],
  },
  {
    name: 'temperature ignored',
    file: 'crate/src/ranks.rs',
    edits: [
      ['let a = form.forward(a.0, a.1, temperature)?;', 'let a = form.forward(a.0, a.1, 0.5)?;'],
      [
        'Ok((a + form.forward(b.0, b.1, temperature)?) * 0.5)',
        'let _ = temperature; Ok((a + form.forward(b.0, b.1, 0.5)?) * 0.5)',
      ],
    ],
    tests: [ava('algorithm', 'the temperature reaches the loss')],
  },
  {
    name: 'the two views share batch-norm statistics',
    file: 'crate/src/step.rs',
    edits: [
      [
        'let [(live0, p0), (live1, p1)] = model.forward_pair(&views.x)?;',
        `let (z, p) = model.forward(&Tensor::f_cat(&views.x, 0)?)?;
         let count = views.x[0].size()[0];
         let (live0, live1) = (z.f_narrow(0, 0, count)?, z.f_narrow(0, count, count)?);
         let (p0, p1) = (p.f_narrow(0, 0, count)?, p.f_narrow(0, count, count)?);`,
      ],
    ],
    tests: [
      rust('tests/step', 'two_views_never_share_batch_norm_statistics'),
      ava('algorithm', 'each view has its own batch-norm statistics'),
    ],
  },
  {
    name: 'the momentum is not saved',
    file: 'crate/src/checkpoint/mod.rs',
    edits: [
      [
        'in optimizer.state() {',
        'in optimizer.state().into_iter().filter(|(name, _)| !name.ends_with(".momentum")) {',
      ],
    ],
    tests: [
      rust('tests/checkpoints', 'training_goes_on_from_a_checkpoint_bit_for_bit'),
      ava('algorithm', 'a checkpoint holds the bank and the momentum of every trained tensor'),
      ava('resume', '4 epochs are stops at the worst moments and resumes, bit for bit'),
    ],
  },
  {
    // A neighbour of another class gives way to the view itself: better accuracy, and no longer unsupervised.
    name: 'labels leak into training',
    file: 'crate/src/step.rs',
    edits: [
      [
        'neighbours.each_ref().map(|n| n.rows.shallow_clone())',
        `{
          let same_class = |found: &crate::nn::Neighbours, z: &Tensor| -> Result<Tensor> {
            let Some(labels) = views.labels else { return Ok(found.rows.shallow_clone()) };
            let rows = Vec::<i64>::try_from(&found.indices)?;
            let pairs = rows.iter().zip(labels);
            let same: Vec<bool> = pairs.map(|(&row, l)| bank.labels()[row as usize] == *l).collect();
            Ok(found.rows.f_where_self(&Tensor::f_from_slice(&same)?.f_unsqueeze(1)?, z)?)
          };
          [same_class(&neighbours[0], &z0)?, same_class(&neighbours[1], &z1)?]
        }`,
      ],
    ],
    tests: [ava('train-method', 'labels never reach the weights')],
  },
  {
    name: 'the same augmentation for both views',
    file: 'crate/src/loader/sample.rs',
    edits: [
      [
        '&mut stream(self.seed, epoch, u64::from(sample), view)',
        '&mut stream(self.seed, epoch, u64::from(sample), view - view)',
      ],
    ],
    tests: [
      rust(
        'src/loader/tests',
        'a_batch_has_two_views_with_indices_and_labels_in_the_order_asked_for',
      ),
      ava('determinism', 'an epoch has the same batches byte by byte with any workers and cache'),
      ava('algorithm', 'the two views are two draws, and find two neighbours'),
    ],
  },
  {
    name: 'the learning-rate schedule is off by one step',
    file: 'ts/train.ts',
    edits: [
      [
        'learningRate(config, this.#step, this.#steps)',
        'learningRate(config, this.#step + 1, this.#steps)',
      ],
    ],
    tests: [ava('train-method', 'the learning rate warms up linearly and falls as a cosine')],
  },
]
