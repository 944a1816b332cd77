//! The price table `prices.json`: read once, asked by region. Every figure carries its source.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

/// The table.
pub(super) static PRICES: LazyLock<Prices> = LazyLock::new(|| {
    serde_json::from_str(include_str!("prices.json")).expect("prices.json is part of the program and read by its tests")
});

/// How capacity is bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purchase {
    OnDemand,
    Spot,
    FlexStart,
}

impl Purchase {
    /// What a line says beside the machine.
    pub(super) fn words(self) -> &'static str {
        match self {
            Purchase::OnDemand => "",
            Purchase::Spot => " (spot)",
            Purchase::FlexStart => " (flex-start)",
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Prices {
    hours_per_month: f64,
    pub(super) cluster_fee: Flat,
    tpu_v6e_chip: Chips,
    machines: Table,
    gpus: Table,
    forwarding_rules: Rules,
    address: Addresses,
    pub(super) idle_address: Flat,
    disk_gb_month: Disks,
}

/// Where a price is from, and of which day or month.
#[derive(Debug, Deserialize)]
pub(super) struct Source {
    pub(super) source: String,
    pub(super) as_of: String,
}

/// One price everywhere.
#[derive(Deserialize)]
pub(super) struct Flat {
    pub(super) per_hour: f64,
    #[serde(flatten)]
    pub(super) source: Source,
}

/// Load balancers: so many of them share a price.
#[derive(Deserialize)]
struct Rules {
    first_five_per_hour: f64,
    further_per_hour: f64,
    #[serde(flatten)]
    source: Source,
}

#[derive(Deserialize)]
struct Addresses {
    on_demand: f64,
    spot: f64,
    #[serde(flatten)]
    source: Source,
}

#[derive(Clone, Copy, Deserialize)]
struct Regional {
    on_demand: Option<f64>,
    spot: Option<f64>,
}

#[derive(Deserialize)]
struct Chips {
    regions: BTreeMap<String, Regional>,
    #[serde(flatten)]
    source: Source,
    flex_start: FlexStart,
    machines: BTreeMap<String, u32>,
}

#[derive(Deserialize)]
struct FlexStart {
    per_hour: f64,
    regions: Vec<String>,
    #[serde(flatten)]
    source: Source,
}

#[derive(Deserialize)]
struct Table {
    types: BTreeMap<String, BTreeMap<String, Regional>>,
    #[serde(flatten)]
    source: Source,
}

#[derive(Deserialize)]
struct Disks {
    types: BTreeMap<String, f64>,
    #[serde(flatten)]
    source: Source,
}

impl Regional {
    fn of(self, purchase: Purchase) -> Option<f64> {
        match purchase {
            Purchase::OnDemand => self.on_demand,
            Purchase::Spot => self.spot,
            Purchase::FlexStart => None,
        }
    }
}

impl Prices {
    /// The types of machines that have a price.
    pub(super) fn machine_types(&'static self) -> Vec<&'static str> {
        let types = self.machines.types.keys().chain(self.tpu_v6e_chip.machines.keys());
        let sorted = types.map(String::as_str).collect::<std::collections::BTreeSet<_>>();
        sorted.into_iter().collect()
    }

    /// A machine an hour; a TPU machine with its chips.
    pub(super) fn machine(&'static self, machine: &str, region: &str, purchase: Purchase) -> super::Price {
        let Some(&chips) = self.tpu_v6e_chip.machines.get(machine) else {
            return regional(&self.machines, machine, region, purchase);
        };
        let flex = &self.tpu_v6e_chip.flex_start;
        let (price, source) = match purchase {
            Purchase::FlexStart => {
                (flex.regions.iter().any(|known| known == region).then_some(flex.per_hour), &flex.source)
            }
            other => {
                let chip = self.tpu_v6e_chip.regions.get(region).and_then(|price| price.of(other));
                (chip, &self.tpu_v6e_chip.source)
            }
        };
        price.map(|chip| (chip * f64::from(chips), source)).ok_or_else(|| missing(machine, region, purchase))
    }

    /// A GPU an hour, without its machine.
    pub(super) fn gpu(&'static self, kind: &str, region: &str, purchase: Purchase) -> super::Price {
        regional(&self.gpus, kind, region, purchase)
    }

    /// An external address of a node an hour.
    pub(super) fn address(&'static self, purchase: Purchase) -> super::Price {
        let price = if purchase == Purchase::Spot { self.address.spot } else { self.address.on_demand };
        Ok((price, &self.address.source))
    }

    /// One more load balancer an hour, where there are so many already: five share a price.
    pub(super) fn balancer(&'static self, before: usize) -> super::Price {
        let rules = &self.forwarding_rules;
        let price = match before {
            0 => rules.first_five_per_hour,
            1..=4 => 0.0,
            _ => rules.further_per_hour,
        };
        Ok((price, &rules.source))
    }

    /// A GB of disk an hour.
    pub(super) fn disk(&'static self, kind: &str) -> super::Price {
        let price = self.disk_gb_month.types.get(kind).map(|month| month / self.hours_per_month);
        price.map(|hour| (hour, &self.disk_gb_month.source)).ok_or_else(|| format!("no price of {kind} disks"))
    }
}

fn regional<'p>(table: &'p Table, what: &str, region: &str, purchase: Purchase) -> Result<(f64, &'p Source), String> {
    let price = table.types.get(what).and_then(|regions| regions.get(region)).and_then(|price| price.of(purchase));
    price.map(|price| (price, &table.source)).ok_or_else(|| missing(what, region, purchase))
}

fn missing(what: &str, region: &str, purchase: Purchase) -> String {
    format!("no price of {what}{} in {region}", purchase.words())
}
