//! BERT in llama.cpp's words: names of tensors and keys.

use tandem_models::catalog::Entry;
use tandem_models::gguf::{Kind, Writer};

use super::safetensors::Tensors;
use super::source::Source;
use super::vocabulary::Vocabulary;
use super::{ImportError, Planned};

const ARCHITECTURE: &str = "bert";
/// `general.file_type` of a file with weights in half precision.
const MOSTLY_F16: u32 = 1;

/// Whether the catalog says that a model is one.
pub(super) fn is_one(entry: &Entry) -> bool {
    entry.architecture == ARCHITECTURE
}

/// The tensors of the model, each checked to be there in the right shape.
pub(super) fn plan(
    source: &Source,
    vocabulary: &Vocabulary,
    tensors: &Tensors,
) -> Result<Vec<Planned>, ImportError> {
    let config = &source.config;
    if vocabulary.tokens.len() > config.vocab_size as usize {
        let problem = format!(
            "it has {} tokens and the model vectors for {}",
            vocabulary.tokens.len(),
            config.vocab_size
        );
        return Err(ImportError::damaged("tokenizer.json", problem));
    }
    let (width, inner) = (config.hidden_size, config.intermediate_size);
    let table = |to: &str, from: &str, rows, kind| {
        planned(tensors, &format!("{to}.weight"), &format!("{from}.weight"), &[rows, width], kind)
    };
    let mut plan = vec![
        table("token_embd", "embeddings.word_embeddings", config.vocab_size, Kind::F16)?,
        table(
            "position_embd",
            "embeddings.position_embeddings",
            config.max_position_embeddings,
            Kind::F32,
        )?,
        table(
            "token_types",
            "embeddings.token_type_embeddings",
            config.type_vocab_size,
            Kind::F32,
        )?,
    ];
    plan.extend(norm(tensors, "token_embd_norm", "embeddings.LayerNorm", width)?);
    for layer in 0..config.num_hidden_layers {
        let (to, from) = (format!("blk.{layer}"), format!("encoder.layer.{layer}"));
        let square = [width, width];
        let dense = [
            ("attn_q", "attention.self.query", square),
            ("attn_k", "attention.self.key", square),
            ("attn_v", "attention.self.value", square),
            ("attn_output", "attention.output.dense", square),
            ("ffn_up", "intermediate.dense", [inner, width]),
            ("ffn_down", "output.dense", [width, inner]),
        ];
        for (ours, theirs, shape) in dense {
            let (to, from) = (format!("{to}.{ours}"), format!("{from}.{theirs}"));
            let (weight, bias) = (format!("{from}.weight"), format!("{from}.bias"));
            plan.push(planned(tensors, &format!("{to}.weight"), &weight, &shape, Kind::F16)?);
            plan.push(planned(tensors, &format!("{to}.bias"), &bias, &shape[..1], Kind::F32)?);
        }
        let norms = [
            ("attn_output_norm", "attention.output.LayerNorm"),
            ("layer_output_norm", "output.LayerNorm"),
        ];
        for (ours, theirs) in norms {
            plan.extend(norm(
                tensors,
                &format!("{to}.{ours}"),
                &format!("{from}.{theirs}"),
                width,
            )?);
        }
    }
    Ok(plan)
}

fn norm(tensors: &Tensors, to: &str, from: &str, width: u32) -> Result<[Planned; 2], ImportError> {
    // The second of each is what the oldest files call it.
    let one = |ours: &str, theirs: [&str; 2]| {
        let [new, old] = theirs.map(|theirs| format!("{from}.{theirs}"));
        let name = if tensors.find(&old).is_some() { old } else { new };
        planned(tensors, &format!("{to}.{ours}"), &name, &[width], Kind::F32)
    };
    Ok([one("weight", ["weight", "gamma"])?, one("bias", ["bias", "beta"])?])
}

/// One tensor; `shape` has the slowest dimension first.
fn planned(
    tensors: &Tensors,
    to: &str,
    from: &str,
    shape: &[u32],
    kind: Kind,
) -> Result<Planned, ImportError> {
    let damaged = |problem| ImportError::damaged("model.safetensors", problem);
    let Some((source, found)) = tensors.find(from) else {
        return Err(damaged(format!("it has no tensor {from}")));
    };
    let expected = shape.iter().map(|&length| length as usize);
    if !found.iter().copied().eq(expected) {
        return Err(damaged(format!("{from} has the shape {found:?} in place of {shape:?}")));
    }
    if !tensors.is_convertible(&source) {
        return Err(ImportError::unsupported(format!("{from}, which is not F32, F16 or BF16,")));
    }
    let dimensions: Vec<u64> = shape.iter().rev().map(|&length| length.into()).collect();
    let bytes = dimensions.iter().product::<u64>() * kind.bytes();
    Ok(Planned { name: to.to_owned(), source, dimensions, kind, bytes })
}

/// Everything in front of the weights.
pub(super) fn header(
    id: &str,
    source: &Source,
    vocabulary: &Vocabulary,
    plan: &[Planned],
) -> Vec<u8> {
    let config = &source.config;
    let key = |name: &str| format!("{ARCHITECTURE}.{name}");
    let mut writer = Writer::default();
    writer.text("general.architecture", ARCHITECTURE);
    writer.text("general.type", "model");
    writer.text("general.name", id);
    writer.number("general.file_type", MOSTLY_F16);
    writer.number("general.quantization_version", 2);
    writer.number(&key("block_count"), config.num_hidden_layers);
    writer.number(&key("context_length"), config.max_position_embeddings);
    writer.number(&key("embedding_length"), config.hidden_size);
    writer.number(&key("feed_forward_length"), config.intermediate_size);
    writer.number(&key("attention.head_count"), config.num_attention_heads);
    writer.float(&key("attention.layer_norm_epsilon"), config.layer_norm_eps);
    writer.flag(&key("attention.causal"), false);
    writer.number(&key("pooling_type"), source.pooling as u32);
    // Not known to llama.cpp.
    writer.number("tandem.text_tokens_max", source.text_tokens_max);

    let (tokens, kinds) = vocabulary.padded(config.vocab_size as usize);
    writer.text("tokenizer.ggml.model", "bert");
    writer.text("tokenizer.ggml.pre", "default");
    writer.texts("tokenizer.ggml.tokens", &tokens);
    writer.integers("tokenizer.ggml.token_type", &kinds);
    writer.number("tokenizer.ggml.token_type_count", config.type_vocab_size);
    writer.number("tokenizer.ggml.bos_token_id", vocabulary.begin);
    writer.number("tokenizer.ggml.cls_token_id", vocabulary.begin);
    writer.number("tokenizer.ggml.unknown_token_id", vocabulary.unknown);
    // The spelling is llama.cpp's.
    writer.number("tokenizer.ggml.seperator_token_id", vocabulary.separator);
    if let Some(padding) = vocabulary.padding {
        writer.number("tokenizer.ggml.padding_token_id", padding);
    }
    if let Some(mask) = vocabulary.mask {
        writer.number("tokenizer.ggml.mask_token_id", mask);
    }
    writer.flag("tokenizer.ggml.normalizer.lowercase", vocabulary.lowercase);
    writer.flag("tokenizer.ggml.normalizer.strip_accents", vocabulary.strip_accents);
    for tensor in plan {
        writer.tensor(&tensor.name, &tensor.dimensions, tensor.kind, tensor.bytes);
    }
    writer.finish()
}
