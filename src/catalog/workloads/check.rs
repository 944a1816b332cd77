//! Mistakes between workloads, their pools, their models and the add-ons: what can be told by arithmetic before
//! anything is paid for.

use std::collections::BTreeMap;

use crate::catalog::accelerators::{ACCELERATORS, Family};
use crate::catalog::expansion::{Expansion, mistake};
use crate::catalog::fit::{Ask, SCARCE, gib};
use crate::catalog::models::{MODELS, Model, Shape};
use crate::catalog::workloads::{PORT, Plan, engine, monitoring, network, routing, storage, tls};
use crate::diag::Diagnostic;
use crate::stack::model::{CacheDtype, Dtype, Workload};

/// Mistakes of one workload.
pub(super) fn one(expansion: &mut Expansion<'_>, plan: &Plan<'_>) {
    let (workload, row) = (plan.workload, plan.row);
    surroundings(expansion, plan);
    if let Some(port) = workload.port.as_ref().filter(|port| port.get() != PORT) {
        let what = format!("KServe's service leads to port {PORT}, not {}", port.get());
        expansion.report(mistake(what, &port.span, "would not be reached").hint("leave `port` out"));
    }
    if row.hosts > 1 {
        let what = format!("{} is a slice of {} hosts, which workloads cannot span yet", row.name, row.hosts);
        expansion.report(mistake(what, &workload.span, "one host only").hint("use a pool of tpu-v6e-1, -4 or -8"));
    }
    if !row.runs_vllm() {
        let what = format!("vLLM does not run on {}", row.name);
        let hint = "it wants GPUs of compute capability 7.0 and above: nvidia-v100, nvidia-t4 and later";
        expansion.report(mistake(what, plan.place(), "too old").hint(hint));
    }
    spread(expansion, plan);
    image(expansion, plan);
    routing::check(expansion, plan);
    network::check(expansion, plan);
    tls::check(expansion, plan);
    monitoring::check(expansion, plan);
    engine::check(expansion, plan);
    storage::check(expansion, plan);
    model(expansion, plan);
}

/// What a model cannot do without.
fn surroundings(expansion: &mut Expansion<'_>, plan: &Plan<'_>) {
    let given = expansion.stack.cluster.as_ref().is_some_and(|cluster| cluster.is_given());
    // The definition of InferencePool comes with an add-on of its own.
    let scheduled = routing::is_scheduled(plan.workload).then_some("inference-extension");
    let needed = ["cert-manager", "istio", "kserve"].into_iter().chain(scheduled);
    let mut missing = needed
        .filter(|name| !given && expansion.addon(name).is_none())
        .map(|name| format!("[addons.{name}]"))
        .collect::<Vec<_>>();
    if expansion.stack.gateway.is_none() {
        missing.push("[gateway]".to_owned());
    }
    if !missing.is_empty() {
        let what = format!("{} needs {}", plan.component, missing.join(", "));
        let hint = format!("add {}; empty tables take the tested versions", missing.join(", "));
        expansion.report(mistake(what, &plan.workload.span, "cannot be served").hint(hint));
    }
}

/// Spreading over accelerators that are not there.
fn spread(expansion: &mut Expansion<'_>, plan: &Plan<'_>) {
    let (workload, row) = (plan.workload, plan.row);
    let Some(wanted) = &workload.tensor_parallel else { return };
    let most = plan.per_node;
    if wanted.get() > most {
        let what = format!("tensor_parallel = {} on nodes with {most} of {}", wanted.get(), row.name);
        let hint = format!("write tensor_parallel = {most}, or leave it out");
        expansion.report(mistake(what, &wanted.span, "more than a node has").hint(hint));
    } else if row.family == Family::Tpu && wanted.get() < row.per_node {
        let idle = row.per_node - wanted.get();
        let chips = if idle == 1 { "chip" } else { "chips" };
        let what = format!("tensor_parallel = {} leaves {idle} {chips} idle", wanted.get());
        expansion.report(Diagnostic::warning(what).at(wanted.span.clone(), "a pod gets all chips of its node"));
    }
}

fn image(expansion: &mut Expansion<'_>, plan: &Plan<'_>) {
    let Some(image) = &plan.workload.image else { return };
    let name = image.to_lowercase();
    let foreign = match plan.row.family {
        Family::Tpu => ["cuda", "vllm-openai", "rocm"].iter().any(|word| name.contains(word)),
        Family::Gpu => name.contains("tpu"),
    };
    if foreign {
        let what = format!("{} is no image for {}", &***image, plan.row.name);
        expansion.report(mistake(what, &image.span, "of another accelerator").hint("leave `image` out"));
    }
}

/// The sizes of the workload's model: those that the stack says, or the table's.
pub(super) fn shape(workload: &Workload) -> Option<Shape> {
    if let Some(size) = &workload.size {
        let number = |whole: i64| u64::try_from(whole).unwrap_or(1);
        let heads = size.heads.get();
        return Some(Shape {
            parameters: number(size.parameters.get()),
            layers: number(size.layers.get()),
            heads: number(heads),
            kv_heads: number(size.kv_heads.as_ref().map_or(heads, |count| count.get())),
            head_size: number(size.head_size.get()),
            context: number(size.context.get()),
        });
    }
    let repository = workload.repository()?;
    Some(Model::find(repository.split(':').next().unwrap_or(repository))?.shape)
}

/// Bits of a weight; `None` where the way of quantization is not known here.
fn weight_bits(workload: &Workload) -> Option<u64> {
    match workload.quantization.as_deref().map(|way| way.to_lowercase()).as_deref() {
        Some("awq" | "awq_marlin" | "gptq" | "gptq_marlin" | "bitsandbytes") => return Some(4),
        Some("fp8" | "int8" | "tpu_int8" | "experts_int8" | "ptpc_fp8") => return Some(8),
        Some(_) => return None,
        None => {}
    }
    let wide = matches!(workload.dtype.as_ref().map(|dtype| dtype.value), Some(Dtype::Float | Dtype::Float32));
    Some(if wide { 32 } else { 16 })
}

/// The sum of the workload's model on its accelerator; `None` where not everything is known.
fn ask(plan: &Plan<'_>, shape: Shape) -> Option<Ask> {
    let workload = plan.workload;
    let number = |whole: i64| u64::try_from(whole).unwrap_or(0);
    let share = workload.gpu_memory_utilization.as_ref().map(|share| share.get() * 100.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of 1 at most")]
    let percent = share.map(|percent| percent.round() as u64);
    let narrow = workload.kv_cache_dtype.as_ref().is_some_and(|dtype| dtype.value != CacheDtype::Auto);
    let weight_bits = weight_bits(workload)?;
    Some(Ask {
        shape,
        memory_mib: number(plan.row.memory_mib),
        // vLLM's own default where the catalogue says nothing.
        percent: percent.unwrap_or(u64::from(plan.row.serving.memory_percent.unwrap_or(90))),
        parallel: number(plan.parallel()),
        weight_bits,
        offloaded: number(workload.cpu_offload_gb.as_ref().map_or(0, |count| count.get())) << 30,
        cache_bytes: if narrow {
            1
        } else if weight_bits == 32 {
            4
        } else {
            2
        },
        context: plan.context().map_or(shape.context, number).min(shape.context),
    })
}

/// Whether the model fits the accelerator and its context.
fn model(expansion: &mut Expansion<'_>, plan: &Plan<'_>) {
    let (workload, row) = (plan.workload, plan.row);
    let name = &**workload.model;
    // A T4 is told where the file is read.
    if let Some(dtype) = workload.dtype.as_ref().filter(|dtype| dtype.value == Dtype::Bfloat16)
        && !row.has_bfloat16()
        && row.name != "nvidia-t4"
    {
        let what = format!("{} cannot compute in bfloat16", row.name);
        expansion.report(mistake(what, &dtype.span, "not on this GPU").hint("write dtype = \"half\""));
    }
    let asked = shape(workload).and_then(|shape| ask(plan, shape));
    let Some(ask) = asked else {
        let what = format!("whether {name} fits {} is not checked", row.name);
        let (label, hint) = match &workload.quantization {
            Some(way) if shape(workload).is_some() => {
                (format!("how large weights are in {:?} is not known here", &***way), None)
            }
            _ => {
                let sizes =
                    "size = { parameters = …, layers = …, heads = …, kv_heads = …, head_size = …, context = … }";
                ("not in the catalogue's table".to_owned(), Some(format!("say what its config.json says: {sizes}")))
            }
        };
        let warning = Diagnostic::warning(what).at(workload.model.span.clone(), label);
        expansion.report(match hint {
            Some(hint) => warning.hint(hint),
            None => warning,
        });
        return;
    };
    let longer = workload.env.contains_key("VLLM_ALLOW_LONG_MAX_MODEL_LEN");
    if let Some(length) = workload.max_model_len.as_ref().filter(|_| !longer)
        && u64::try_from(length.get()).is_ok_and(|length| length > ask.shape.context)
    {
        let what = format!("max_model_len = {} is beyond the model's context of {}", length.get(), ask.shape.context);
        let hint = format!("write max_model_len = {} or less", ask.shape.context);
        expansion.report(mistake(what, &length.span, "vLLM refuses to start").hint(hint));
    }
    if let Err(heads) = ask.divides() {
        let span = workload.tensor_parallel.as_ref().map_or(plan.place(), |count| &count.span);
        let ways =
            (1..=plan.per_node).filter(|n| Ask { parallel: u64::try_from(*n).unwrap_or(1), ..ask }.divides().is_ok());
        let ways = ways.map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
        let what = format!("{heads} of {name} cannot be dealt out over {} accelerators", ask.parallel);
        let hint = format!("{} nodes can spread it over {ways}", row.name);
        expansion.report(mistake(what, span, "must divide them").hint(hint));
        return;
    }
    memory(expansion, plan, &ask);
}

/// Whether weights and cache fit into memory.
fn memory(expansion: &mut Expansion<'_>, plan: &Plan<'_>, ask: &Ask) {
    let (workload, row) = (plan.workload, plan.row);
    let sum = ask.sum();
    let spread = if ask.parallel > 1 { format!(" on each of {} ", ask.parallel) } else { " on one ".to_owned() };
    let taken = format!(
        "{}; vLLM may take {} % of the {} of {}: {}",
        sum.words(ask.context),
        ask.percent,
        gib(ask.memory_mib << 20),
        row.name,
        gib(sum.room)
    );
    if !sum.fits() {
        let what = format!("{} does not fit{spread}{}", &**workload.model, row.name);
        let label = format!("needs {}, has {}", gib(sum.needed), gib(sum.room));
        let wrong = mistake(what, &workload.model.span, &label).detail(format!("{taken}."));
        expansion.report(wrong.hint(ways_out(plan, ask)));
        return;
    }
    let sequences = u64::try_from(plan.sequences()).unwrap_or(1);
    if sum.tokens / sequences.max(1) < SCARCE.min(ask.context) {
        let each = sum.tokens / sequences.max(1);
        let what = format!("{sequences} requests at once have {each} tokens of cache each");
        let hint = format!("write max_num_seqs = {} or less; the rest would only wait", (sum.tokens / SCARCE).max(1));
        let span = workload.max_num_seqs.as_ref().map_or(&workload.model.span, |count| &count.span);
        let detail = format!("The cache holds {} tokens. {taken}.", sum.tokens);
        expansion.report(Diagnostic::warning(what).at(span.clone(), "more than is of use").hint(hint).detail(detail));
    }
}

/// What to do about a model that does not fit.
fn ways_out(plan: &Plan<'_>, ask: &Ask) -> String {
    let longest = ask.longest();
    if longest >= 1024 {
        return format!("write max_model_len = {} or less", longest / 256 * 256);
    }
    let holds = |ask: Ask| ask.divides().is_ok() && ask.sum().fits();
    let number = |whole: i64| u64::try_from(whole).unwrap_or(1);
    let larger = ACCELERATORS.iter().filter(|other| other.hosts == 1 && other.runs_vllm()).find(|other| {
        let parallel = if other.family == Family::Tpu { number(other.per_node) } else { 1 };
        let percent = u64::from(other.serving.memory_percent.unwrap_or(90));
        let context = ask.context.min(4096);
        holds(Ask { memory_mib: number(other.memory_mib), parallel, percent, context, ..*ask })
    });
    let smaller = MODELS.iter().filter(|model| {
        let context = ask.context.min(model.shape.context);
        holds(Ask { shape: model.shape, context, ..*ask })
    });
    let smaller = smaller.map(|model| model.name).collect::<Vec<_>>();
    let mut ways = larger.map(|row| format!("a pool of {} holds it", row.name)).into_iter().collect::<Vec<_>>();
    if !smaller.is_empty() {
        ways.push(format!("{} holds {}", plan.row.name, smaller.join(", ")));
    }
    if ways.is_empty() { "spread it over more accelerators".to_owned() } else { ways.join("; ") }
}

/// Mistakes between workloads: room in pools, names that shadow each other.
pub(super) fn all(expansion: &mut Expansion<'_>, plans: &[Plan<'_>]) {
    let mut names: BTreeMap<(&str, &str), &Plan<'_>> = BTreeMap::new();
    for plan in plans {
        let Some(first) = names.insert((&plan.namespace, plan.workload.served_name()), plan) else { continue };
        let what =
            format!("{} and {} serve the same name in namespace {}", first.component, plan.component, plan.namespace);
        let span = plan.workload.served_name.as_ref().map_or(&plan.workload.model.span, |name| &name.span);
        let hint = "give one of them another `served_name` or `namespace`";
        expansion.report(mistake(what, span, "one route would hide the other").hint(hint));
    }
    let mut pools: BTreeMap<&str, Vec<&Plan<'_>>> = BTreeMap::new();
    for plan in plans.iter().filter(|plan| plan.row.hosts == 1) {
        if let Some(name) = &plan.workload.node_pool {
            pools.entry(name).or_default().push(plan);
        }
    }
    for (name, plans) in pools {
        room(expansion, name, &plans);
    }
}

/// The nodes of a pool at most, where the stack has the pool: as many in each of its zones.
fn nodes(expansion: &Expansion<'_>, name: &str) -> Option<i64> {
    let pool = expansion.stack.node_pools.get(name)?;
    let fixed = pool.nodes.as_ref().map_or(1, |nodes| nodes.get());
    Some(pool.autoscale.as_ref().map_or(fixed, |bounds| bounds.max) * zones(expansion, name))
}

/// How many zones a pool is in: those that it names, else those of the cluster, else three of a region.
fn zones(expansion: &Expansion<'_>, name: &str) -> i64 {
    let Some(pool) = expansion.stack.node_pools.get(name) else { return 1 };
    let Some(cluster) = &expansion.stack.cluster else { return 1 };
    let named = [&pool.node_locations, &cluster.node_locations].into_iter().map(Vec::len).find(|count| *count > 0);
    let regional = cluster.location.as_ref().is_some_and(|location| !location.is_zone());
    match named {
        _ if pool.zone.is_some() => 1,
        Some(count) => i64::try_from(count).unwrap_or(1),
        None if regional => 3,
        None => 1,
    }
}

/// What is left on each node that the copies of these workloads take: the largest first, each onto the first node that
/// has room.
fn left(plans: &[&Plan<'_>]) -> Vec<i64> {
    let count = |plan: &Plan<'_>| usize::try_from(plan.workload.replicas()).unwrap_or(0);
    let mut copies = plans
        .iter()
        .flat_map(|plan| std::iter::repeat_n((plan.accelerators(), plan.per_node), count(plan)))
        .collect::<Vec<_>>();
    copies.sort_unstable_by_key(|(each, _)| std::cmp::Reverse(*each));
    let mut free: Vec<i64> = Vec::new();
    for (each, per_node) in copies {
        match free.iter_mut().find(|left| **left >= each) {
            Some(left) => *left -= each,
            None => free.push(per_node - each),
        }
    }
    free
}

/// Whether a pool that is full has no room for one more copy of this workload, beside all that are there.
pub(super) fn is_crowded(expansion: &Expansion<'_>, plan: &Plan<'_>, all: &[Plan<'_>]) -> bool {
    let Some(name) = &plan.workload.node_pool else { return false };
    let Some(nodes) = nodes(expansion, name) else { return false };
    let beside = all.iter().filter(|other| other.workload.node_pool.as_deref() == Some(&**name)).collect::<Vec<_>>();
    let left = left(&beside);
    i64::try_from(left.len()).is_ok_and(|taken| taken >= nodes) && left.iter().all(|left| *left < plan.accelerators())
}

/// Whether all copies of all workloads of a pool find room in it.
fn room(expansion: &mut Expansion<'_>, name: &str, plans: &[&Plan<'_>]) {
    let Some(pool) = expansion.stack.node_pools.get(name) else { return };
    let Some(nodes) = nodes(expansion, name) else { return };
    let Some(per_node) = plans.first().map(|plan| plan.per_node) else { return };
    let wanted = i64::try_from(left(plans).len()).unwrap_or(i64::MAX);
    if wanted <= nodes {
        return;
    }
    let zones = zones(expansion, name);
    let each = if zones > 1 { " in each zone" } else { "" };
    let hint = format!("give the pool {} nodes{each}", (wanted + zones - 1) / zones);
    let label = "more than there is room for";
    if let [plan] = plans {
        let replicas = plan.workload.replicas();
        let span = plan.workload.replicas.as_ref().map_or(&plan.workload.span, |replicas| &replicas.span);
        let room = nodes * (per_node / plan.accelerators().max(1)).max(1);
        let what = format!("{replicas} replicas do not fit into node_pools.{name}, which has room for {room}");
        expansion.report(mistake(what, span, label).hint(hint));
        return;
    }
    let list =
        plans.iter().map(|plan| format!("{} × {}", plan.workload.replicas(), plan.component)).collect::<Vec<_>>();
    let what = format!("{} do not fit into node_pools.{name}, which has {nodes} nodes", list.join(" and "));
    let span = plans.last().map_or(&pool.span, |plan| &plan.workload.span);
    expansion.report(mistake(what, span, label).hint(hint));
}
