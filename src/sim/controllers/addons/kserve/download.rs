//! storage-initializer: brings a model's weights to a node.

use std::sync::Arc;
use std::time::Duration;

use super::super::objects::list;
use super::hub;
use crate::sim::controllers::faults::Faults;
use crate::sim::controllers::image::Image;
use crate::sim::controllers::programs::{Instance, Program, Start};
use crate::sim::controllers::{Surroundings, durations};
use crate::sim::serving::network;
use serde_json::Value as Json;

/// The init container that downloads a model; what goes wrong with that.
pub struct StorageInitializer(pub Arc<dyn Faults>);

/// Size of a model's weights in half precision, in MB, told by the number of parameters in its name.
pub fn megabytes(repository: &str) -> u64 {
    let words = repository.split(['-', '_', '/', ':']);
    let mut billions = words.filter_map(|word| {
        let number = word.strip_suffix(['b', 'B'])?;
        number.parse::<f64>().ok().filter(|n| *n > 0.0 && *n < 2000.0)
    });
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below four million")]
    let megabytes = (billions.next_back().unwrap_or(3.0) * 2050.0) as u64;
    megabytes
}

impl Program for StorageInitializer {
    fn name(&self) -> &'static str {
        "storage-initializer"
    }

    fn runs(&self, image: &Image) -> bool {
        image.base().contains("storage-initializer")
    }

    fn megabytes(&self, _: &Image) -> u64 {
        350
    }

    fn start(&self, instance: &Instance, around: &Surroundings) -> Start {
        let arguments: Vec<&str> = list(&instance.container, "/args").iter().filter_map(Json::as_str).collect();
        let Some(uri) = arguments.first() else {
            return Start::fails(Duration::from_secs(1), "Usage: initializer-entrypoint src_uri dest_path");
        };
        let Some(repository) = uri.strip_prefix("hf://") else {
            // Nothing of an object store is public here.
            if uri.starts_with("s3://") && instance.variable("AWS_ACCESS_KEY_ID", &*around.api).is_none() {
                let missing = "botocore.exceptions.NoCredentialsError: Unable to locate credentials";
                return Start::fails(Duration::from_secs(3), missing);
            }
            return Start::completes(durations::download(3000));
        };
        if !network::reaches_outside(&*around.api, &instance.pod, 443) {
            return Start::fails(
                Duration::from_secs(60),
                "huggingface_hub.errors.LocalEntryNotFoundError: Connection to huggingface.co timed out.",
            );
        }
        let token = instance.variable("HF_TOKEN", &*around.api);
        if let Some(why) = hub::refusal(&*self.0, repository, token.as_deref()) {
            return Start::fails(Duration::from_secs(3), why);
        }
        let size = megabytes(repository);
        // The hub's client keeps several files in memory at once; one gibibyte is too little for big shards.
        let limit = instance.resource("memory") / 1000 / 1_048_576;
        if limit > 0 && limit < 2048 && size > 20_000 {
            return Start::Exits {
                after: durations::download(size / 8),
                code: 137,
                oom: true,
                log: vec![format!("Fetching files of {repository}")],
            };
        }
        Start::completes(durations::download(size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_come_from_names() {
        assert_eq!(megabytes("Qwen/Qwen2.5-3B-Instruct"), 6150);
        assert_eq!(megabytes("Qwen/Qwen2.5-0.5B"), 1025);
        assert_eq!(megabytes("meta-llama/Llama-3.1-8B-Instruct"), 16400);
        assert_eq!(megabytes("Qwen/Qwen2.5-7B:0f3c"), 14350);
    }
}
