//! Opening a model and its context as they were asked for, or as far as that goes.

use std::path::Path;
use std::sync::Arc;

use tandem_proto::engine as proto;
use tandem_proto::engine::{KvType, Load, Loaded};

use super::{LoadError, Progress, refused, stage};
use crate::llama::{
    self, Context, ContextError, ContextSettings, Device, Layers, Model, ModelSettings,
};
use crate::log;
use crate::offload::{Cells, layers_that_fit};
use crate::vocabulary::Vocabulary;

/// What came of it.
#[derive(Debug)]
pub struct Opened {
    /// The weights.
    pub model: Arc<Model>,
    /// `None` for a model that makes embeddings, whose context is another, and for one that does
    /// neither that nor generate.
    pub context: Option<Context>,
    /// The settings in effect.
    pub settings: ContextSettings,
    /// What the daemon is told.
    pub way: Way,
}

/// How a model was opened.
#[derive(Debug)]
pub struct Way {
    /// The settings in effect.
    pub model: ModelSettings,
    quantized_kv: bool,
    /// What is not as it was asked for.
    notices: Vec<String>,
    /// Graphics processors as they were before.
    devices: Vec<Device>,
}

impl Way {
    /// Writes down what is in effect.
    pub fn describe(self, loaded: &mut Loaded) {
        loaded.set_kv_type(if self.quantized_kv { KvType::Q80 } else { KvType::Unspecified });
        loaded.gpu_layers = self.model.gpu_layers;
        loaded.notices = self.notices;
        if self.model.gpu_layers > 0 {
            let now = llama::devices();
            loaded.devices = self.devices.iter().zip(&now).map(used).collect();
        }
    }
}

/// Opens what `request` names, reporting on the way.
pub fn open(
    request: &Load,
    settings: ContextSettings,
    progress: &mut Progress,
) -> Result<Opened, LoadError> {
    let devices = if request.gpu_layers == Some(0) { Vec::new() } else { llama::devices() };
    let gpu_layers = match request.gpu_layers {
        _ if devices.is_empty() => 0,
        Some(layers) => layers,
        None => fitting(Path::new(&request.path), &devices, &settings),
    };
    let model = ModelSettings { use_extra_bufts: request.use_extra_bufts, gpu_layers };
    let mut way = Way { model, quantized_kv: false, notices: Vec::new(), devices };
    let opened = match open_in(request, settings, &mut way, progress) {
        Err(LoadError::Memory(_) | LoadError::Model(_)) if gpu_layers > 0 => {
            way.model.gpu_layers = 0;
            way.notices = vec![format!(
                "the CPU computes the whole model, as {gpu_layers} of its layers could not be put on \
                 a graphics processor; lower engine.gpu_layers or free its memory"
            )];
            open_in(request, settings, &mut way, progress)
        }
        other => other,
    };
    let (model, context, settings) = opened?;
    way.quantized_kv = settings.quantized_kv;
    for notice in &way.notices {
        log::line(format_args!("{notice}"));
    }
    Ok(Opened { model, context, settings, way })
}

/// Layers that fit on graphics processors; none of a file that does not say enough.
fn fitting(path: &Path, devices: &[Device], settings: &ContextSettings) -> u32 {
    let free: Vec<u64> = devices.iter().map(|device| device.memory_free).collect();
    let cells = Cells { tokens: settings.tokens, quantized: settings.quantized_kv };
    Layers::read(path).map_or(0, |layers| layers_that_fit(&free, &layers, cells))
}

type Parts = (Arc<Model>, Option<Context>, ContextSettings);

fn open_in(
    request: &Load,
    settings: ContextSettings,
    way: &mut Way,
    progress: &mut Progress,
) -> Result<Parts, LoadError> {
    progress.percent = 0;
    let model = Model::load(Path::new(&request.path), way.model, |part| progress.report(part));
    let model = Arc::new(model.map_err(|error| refused(&error.to_string()))?);
    way.model.gpu_layers = way.model.gpu_layers.min(model.layers().saturating_add(1));
    if model.embeds() || !model.generates() || model.size() == 0 || !model.has_texts() {
        return Ok((model, None, settings));
    }
    stage(progress.writer, "context");
    let (context, settings) = make_context(&model, settings, &mut way.notices)
        .map_err(|error| LoadError::Memory(error.to_string()))?;
    Ok((model, Some(context), settings))
}

/// A context whose keys and values have 8 bits where that is wanted and can be.
pub fn make_context(
    model: &Arc<Model>,
    wanted: ContextSettings,
    notices: &mut Vec<String>,
) -> Result<(Context, ContextSettings), ContextError> {
    let plain = ContextSettings { quantized_kv: false, ..wanted };
    if !wanted.quantized_kv {
        return Ok((Context::new(Arc::clone(model), wanted)?, wanted));
    }
    let refusal = if wanted.exact {
        "exact answers need them so".to_owned()
    } else if !wanted.flash_attention {
        "8 bits need flash attention, which is off".to_owned()
    } else {
        match Context::new(Arc::clone(model), wanted) {
            Ok(context) => return Ok((context, wanted)),
            Err(error) => format!("llama.cpp refuses 8 bits: {}", error.log.trim()),
        }
    };
    let context = Context::new(Arc::clone(model), plain)?;
    notices.push(format!("keys and values are kept in 16 bits, as {refusal}"));
    Ok((context, plain))
}

/// What a graphics processor has less than before.
fn used((before, now): (&Device, &Device)) -> proto::Device {
    proto::Device {
        name: now.name.clone(),
        memory_total_bytes: now.memory_total,
        memory_used_bytes: before.memory_free.saturating_sub(now.memory_free),
    }
}
