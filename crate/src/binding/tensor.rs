//! Tensor handles: calls return at once, awaits wait.

use napi::Env;
use napi::bindgen_prelude::{
    BigInt64Array, ClassInstance, Either3, Float32Array, Float64Array, Object, ObjectFinalize,
};
use napi_derive::napi;
use std::sync::Mutex;
use tch::{Kind, Tensor};

use super::data::Batch;
use super::process_group::{NativeReducer, backward};
use super::promise::on_engine;
use super::{disposed, to_napi};
use crate::engine::{self, lock};
use crate::error::{Error, Result};
use crate::nn::Loss;
use crate::tensor::{Call, Handle, Meta, Op, effect, settle};
use crate::{checkpoint, device, pixels};

/// Where a call came from and whether it records gradients.
#[napi(object)]
pub struct CallSite {
    /// The operation's name and the caller's file and line.
    pub operation: String,
    /// false within `noGrad`.
    pub grad: bool,
}

impl From<CallSite> for Call {
    fn from(site: CallSite) -> Self {
        Self { operation: site.operation, grad: site.grad }
    }
}

/// A tensor to come; TypeScript's `Tensor` wraps it.
#[napi(custom_finalize)]
pub struct NativeTensor {
    handle: Mutex<Option<Handle>>,
    meta: Meta,
}

impl NativeTensor {
    /// Tells V8 how much memory the handle keeps.
    pub(super) fn new(env: &Env, handle: Handle) -> napi::Result<Self> {
        env.adjust_external_memory(handle.meta.bytes() as i64)?;
        Ok(Self { meta: handle.meta.clone(), handle: Mutex::new(Some(handle)) })
    }

    pub(super) fn get(&self) -> napi::Result<Handle> {
        lock(&self.handle).clone().ok_or_else(|| to_napi(&disposed("Tensor")))
    }

    fn release(&self, env: Env) -> napi::Result<()> {
        if let Some(handle) = lock(&self.handle).take() {
            env.adjust_external_memory(-(self.meta.bytes() as i64))?;
            handle.release();
        }
        Ok(())
    }
}

impl ObjectFinalize for NativeTensor {
    fn finalize(self, env: Env) -> napi::Result<()> {
        self.release(env)
    }
}

/// Numbers from JavaScript or for it.
type Numbers = Either3<Float32Array, Float64Array, BigInt64Array>;

#[napi]
impl NativeTensor {
    /// A tensor of the given numbers, row-major.
    #[napi(factory)]
    pub fn from_array(
        env: Env,
        #[napi(ts_arg_type = "Float32Array | Float64Array | BigInt64Array")] data: Numbers,
        shape: Vec<i64>,
        device: String,
        requires_grad: bool,
    ) -> napi::Result<Self> {
        let (flat, count, kind) = match data {
            Either3::A(data) => (bytes(&data), data.len(), Kind::Float),
            Either3::B(data) => (bytes(&data), data.len(), Kind::Double),
            Either3::C(data) => (bytes(&data), data.len(), Kind::Int64),
        };
        if shape.iter().any(|n| *n < 0) || shape.iter().product::<i64>() != count as i64 {
            let got = format!("{count} numbers for {shape:?}");
            return Err(to_napi(&Error::shape("Tensor.from", got, "as many as the shape holds")));
        }
        let device = on_device(&device)?;
        let meta = Meta { shape: shape.clone(), kind, device };
        let call = Call { operation: "Tensor.from".into(), grad: true };
        let handle = Handle::compute(call, Vec::new(), meta, move |_| {
            let tensor = Tensor::f_from_data_size(&flat, &shape, kind)?.f_to_device(device)?;
            Ok(tensor.f_set_requires_grad(requires_grad)?)
        });
        Self::new(&env, handle)
    }

    /// A view of a batch, normalised: `[N, 3, size, size]`.
    #[napi(factory)]
    pub fn of_batch(env: Env, batch: &Batch, view: u32, device: String) -> napi::Result<Self> {
        let batch = batch.get()?;
        let (count, size) = (batch.indices.len() as i64, i64::from(batch.size));
        let device = on_device(&device)?;
        let meta = Meta { shape: vec![count, 3, size, size], kind: Kind::Float, device };
        let call = Call { operation: "view of a batch".into(), grad: false };
        let work = move |_: &[Tensor]| pixels::input(&batch, view as usize, device);
        Self::new(&env, Handle::compute(call, Vec::new(), meta, work))
    }

    /// Sizes.
    #[napi(getter)]
    pub fn shape(&self) -> Vec<i64> {
        self.meta.shape.clone()
    }

    /// `float32`, `float64`, `bfloat16` or `int64`.
    #[napi(getter)]
    pub fn dtype(&self) -> &'static str {
        name_of(self.meta.kind)
    }

    /// `cpu` or `cuda:N`.
    #[napi(getter)]
    pub fn device(&self) -> String {
        device::name(self.meta.device)
    }

    /// The value of a tensor with one element.
    #[napi(ts_return_type = "Promise<number>")]
    pub fn item<'env>(&self, env: &'env Env) -> napi::Result<Object<'env>> {
        if self.meta.shape.iter().product::<i64>() != 1 {
            let got = format!("{:?}", self.meta.shape);
            return Err(to_napi(&Error::shape("item", got, "one element")));
        }
        let handle = self.get()?;
        let job = move || Ok(handle.read()?.f_reshape([1])?.f_double_value(&[0])?);
        on_engine(env, "item", job, |_, value| Ok(value))
    }

    /// All values, row-major: f32 for bf16 and f32, f64, or i64.
    #[napi(ts_return_type = "Promise<Float32Array | Float64Array | BigInt64Array>")]
    pub fn to_array<'env>(&self, env: &'env Env) -> napi::Result<Object<'env>> {
        let handle = self.get()?;
        let job = move || {
            let tensor = handle.read()?.f_detach()?.f_to_device(tch::Device::Cpu)?;
            let flat = tensor.f_contiguous()?.f_reshape([-1])?;
            Ok(match flat.kind() {
                Kind::Double => Values::F64(Vec::<f64>::try_from(&flat)?),
                Kind::Int64 => Values::I64(Vec::<i64>::try_from(&flat)?),
                _ => Values::F32(Vec::<f32>::try_from(&flat.f_to_kind(Kind::Float)?)?),
            })
        };
        on_engine(env, "toArray", job, |_, values| {
            Ok(match values {
                Values::F32(values) => Either3::A(Float32Array::new(values)),
                Values::F64(values) => Either3::B(Float64Array::new(values)),
                Values::I64(values) => Either3::C(BigInt64Array::new(values)),
            })
        })
    }

    /// Queues the backward pass from this scalar; the reducers average what it leaves.
    #[napi]
    pub fn backward(
        &self,
        site: CallSite,
        reducers: Option<Vec<ClassInstance<'_, NativeReducer>>>,
    ) -> napi::Result<()> {
        if self.meta.shape.iter().product::<i64>() != 1 {
            let got = format!("{:?}", self.meta.shape);
            return Err(to_napi(&Error::shape("backward", got, "one element")));
        }
        let handle = self.get()?;
        // Backward records nothing itself, but needs the history that its inputs have.
        let reducers: Vec<_> = reducers.iter().flatten().map(|reducer| reducer.slot()).collect();
        effect(Call { grad: true, ..site.into() }, move || backward(&handle.get()?, &reducers));
        Ok(())
    }

    /// The gradient that the backward passes queued so far leave here.
    #[napi]
    pub fn grad(&self, env: Env, site: CallSite) -> napi::Result<Self> {
        let handle = Handle::compute(site.into(), vec![self.get()?], self.meta.clone(), |inputs| {
            let gradient = inputs[0].f_grad()?;
            if gradient.defined() {
                // A copy: the next backward adds to the tensor itself.
                return copied(&gradient);
            }
            Err(Error::shape("grad", "no gradient", "a backward pass that reaches this tensor"))
        });
        Self::new(&env, handle)
    }

    /// Whether backward passes from now on leave a gradient here.
    #[napi]
    pub fn set_requires_grad(&self, site: CallSite, requires_grad: bool) -> napi::Result<()> {
        let handle = self.get()?;
        effect(site.into(), move || {
            let _ = handle.get()?.f_set_requires_grad(requires_grad)?;
            Ok(())
        });
        Ok(())
    }

    /// Copies another tensor's values into this one.
    #[napi]
    pub fn copy_from(&self, site: CallSite, source: &NativeTensor) -> napi::Result<()> {
        if self.meta.shape != source.meta.shape {
            let (got, expected) = (&source.meta.shape, &self.meta.shape);
            let error = Error::shape("copy", format!("{got:?}"), format!("{expected:?}"));
            return Err(to_napi(&error));
        }
        let (to, from) = (self.get()?, source.get()?);
        effect(Call { grad: false, ..site.into() }, move || Ok(to.get()?.f_copy_(&from.get()?)?));
        Ok(())
    }

    /// Lets the value go, after the calls queued so far.
    #[napi]
    pub fn dispose(&self, env: Env) -> napi::Result<()> {
        self.release(env)
    }
}

enum Values {
    F32(Vec<f32>),
    F64(Vec<f64>),
    I64(Vec<i64>),
}

/// Settings of an operation; which are read depends on its name.
#[napi(object)]
pub struct OpSettings {
    /// `add`, `matmul`, `mean` ...
    pub name: String,
    /// A number operand, or the temperature.
    pub number: Option<f64>,
    /// A dimension.
    pub dim: Option<i64>,
    /// A dtype, or a form of the loss.
    pub word: Option<String>,
}

impl OpSettings {
    fn resolve(&self) -> Result<Op> {
        let number = || self.number.ok_or_else(|| Error::config(&self.name, "nothing", "a number"));
        let dim = || self.dim.ok_or_else(|| Error::config(&self.name, "nothing", "a dimension"));
        let word = || self.word.as_deref().unwrap_or_default();
        Ok(match self.name.as_str() {
            "add" if self.number.is_some() => Op::AddNumber(number()?),
            "mul" if self.number.is_some() => Op::MulNumber(number()?),
            "add" => Op::Add,
            "sub" => Op::Sub,
            "mul" => Op::Mul,
            "div" => Op::Div,
            "matmul" => Op::MatMul,
            "mean" => Op::Mean(self.dim),
            "sum" => Op::Sum(self.dim),
            "cat" => Op::Cat(dim()?),
            "normalize" => Op::Normalize(dim()?),
            "flatten" => Op::Flatten(dim()?),
            "transpose" => Op::Transpose,
            "detach" => Op::Detach,
            "to" => Op::To(kind_of(word())?),
            "loss" => Op::Loss(word().parse::<Loss>()?, number()?),
            other => return Err(Error::config("operation", other, "a known operation")),
        })
    }
}

/// Queues an operation; a shape that does not fit throws here.
#[napi]
pub fn apply_op(
    env: Env,
    site: CallSite,
    settings: OpSettings,
    inputs: Vec<ClassInstance<'_, NativeTensor>>,
) -> napi::Result<NativeTensor> {
    let op = settings.resolve().map_err(|error| to_napi(&error))?;
    let metas: Vec<&Meta> = inputs.iter().map(|input| &input.meta).collect();
    let meta = op.infer(&metas).map_err(|error| to_napi(&error))?;
    let handles = inputs.iter().map(|input| input.get()).collect::<napi::Result<Vec<_>>>()?;
    let handle = Handle::compute(site.into(), handles, meta, move |inputs| op.run(inputs));
    NativeTensor::new(&env, handle)
}

/// Resolves when every call so far has run; rejects with the failure of one that had no result.
#[napi(ts_return_type = "Promise<void>")]
pub fn synchronize(env: &Env) -> napi::Result<Object<'_>> {
    on_engine(env, "synchronize", settle, |_, ()| Ok(()))
}

/// Resolves when every call so far has run, whatever came of it: the loader waits with it.
#[napi(ts_return_type = "Promise<void>")]
pub fn fence(env: &Env) -> napi::Result<Object<'_>> {
    on_engine(env, "fence", || Ok(()), |_, ()| Ok(()))
}

/// A tensor of a file.
#[napi(object, object_from_js = false)]
pub struct NamedTensor {
    /// As the file names it.
    pub name: String,
    /// Its value.
    pub tensor: NativeTensor,
}

/// Reads every tensor of a safetensors file.
#[napi(ts_return_type = "Promise<Array<NamedTensor>>")]
pub fn load_tensors(env: &Env, path: String) -> napi::Result<Object<'_>> {
    let job = move || checkpoint::read_any(std::path::Path::new(&path));
    on_engine(env, "loading tensors", job, |env, tensors| {
        let named = tensors.into_iter().map(|(name, tensor)| {
            Ok(NamedTensor { name, tensor: NativeTensor::new(&env, Handle::ready(tensor))? })
        });
        named.collect::<napi::Result<Vec<_>>>()
    })
}

/// Writes tensors to a safetensors file, whole or not at all.
#[napi(ts_return_type = "Promise<void>")]
pub fn save_tensors<'env>(
    env: &'env Env,
    path: String,
    names: Vec<String>,
    tensors: Vec<ClassInstance<'_, NativeTensor>>,
) -> napi::Result<Object<'env>> {
    let handles = tensors.iter().map(|tensor| tensor.get()).collect::<napi::Result<Vec<_>>>()?;
    let job = move || {
        settle()?;
        let values = handles.iter().map(|handle| Ok(handle.get()?.f_detach()?));
        let values = values.collect::<Result<Vec<_>>>()?;
        let named: Vec<(String, Tensor)> = names.into_iter().zip(values).collect();
        checkpoint::write(std::path::Path::new(&path), &named, "{}")
    };
    on_engine(env, "saving tensors", job, |_, ()| Ok(()))
}

/// Dtype by name.
pub(super) fn kind_of(name: &str) -> Result<Kind> {
    match name {
        "float32" => Ok(Kind::Float),
        "float64" => Ok(Kind::Double),
        "bfloat16" => Ok(Kind::BFloat16),
        _ => Err(Error::config("dtype", name, "float32, float64 or bfloat16")),
    }
}

fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Double => "float64",
        Kind::BFloat16 => "bfloat16",
        Kind::Int64 => "int64",
        _ => "float32",
    }
}

/// The CPU is known without asking; CUDA is asked for on the engine's thread.
pub(super) fn on_device(name: &str) -> napi::Result<tch::Device> {
    if name == "cpu" {
        return Ok(tch::Device::Cpu);
    }
    let name = name.to_owned();
    engine::run("device", move || device::resolve(&name)).map_err(|error| to_napi(&error))
}

/// A tensor of its own with the same values and no history.
pub(super) fn copied(x: &Tensor) -> Result<Tensor> {
    tch::no_grad(|| {
        let mut copy = x.f_empty_like()?;
        copy.f_copy_(x)?;
        Ok(copy)
    })
}

fn bytes<T>(data: &[T]) -> Vec<u8> {
    // SAFETY: plain numbers have no padding, and the slice is read only while it is borrowed.
    unsafe { std::slice::from_raw_parts(data.as_ptr().cast::<u8>(), size_of_val(data)) }.to_vec()
}
