//! What each license of a Keygen export becomes here, and what stands in the way. Nothing is written.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use admin::import::ImportedLicense;
use protocol::admin::{NewLicense, Time, parse_object, parse_time};
use protocol::{Fingerprint, ProductCode, ProfileId, fingerprint};
use serde::Serialize;
use serde_json::{Map, Value};
use store::KnownMachine;

use crate::keygen::{Export, Resource};

/// The kind of server that it comes from.
pub(crate) const SOURCE: &str = "keygen";

/// Kinds that are read.
const READ: [&str; 8] = [
    "licenses",
    "machines",
    "policies",
    "products",
    "users",
    "entitlements",
    "license-entitlements",
    "policy-entitlements",
];

/// The most seats that a license may have: what "no bound" becomes.
const MOST_SEATS: i32 = 1_000_000;

/// Bounds of Keygen's that mean nothing here.
const UNKNOWN_BOUNDS: [&str; 4] = ["maxProcesses", "maxCores", "maxUses", "maxUsers"];

/// What the operator says of what an export doesn't.
pub(crate) struct Choices {
    /// What judges the installs.
    pub(crate) profile_id: ProfileId,
    /// Product codes by Keygen's product id or code; the one under "" is for all others.
    pub(crate) products: HashMap<String, ProductCode>,
    /// Under which component's name a machine's fingerprint will be told by its agent.
    pub(crate) component: String,
    /// Now, Unix seconds: nothing was activated later.
    pub(crate) now: i64,
}

/// Something that the operator has to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Remark {
    /// Of what: `licenses`, `machines`.
    pub(crate) resource: String,
    /// Its id; empty: of all of them.
    pub(crate) id: String,
    pub(crate) detail: String,
}

/// What is to be done.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) licenses: Vec<ImportedLicense>,
    /// Licenses that can't be brought as they are, and pages that aren't there.
    pub(crate) problems: Vec<Remark>,
    /// What becomes something else than it was.
    pub(crate) notes: Vec<Remark>,
}

impl Plan {
    /// How many licenses, and pages of lists, have problems.
    pub(crate) fn unfit(&self) -> usize {
        self.problems.iter().map(|problem| &problem.id).collect::<BTreeSet<_>>().len()
    }

    /// Decides about every license.
    pub(crate) fn of(export: &Export, choices: &Choices) -> Self {
        let mut plan = Self::default();
        let machines = export.by_license("machines");
        let ties = export.by_license("license-entitlements");
        for license in export.all("licenses") {
            let mut reader = Reading { export, choices, license, plan: &mut plan };
            let machines = machines.get(license.id.as_str()).map_or(&[][..], Vec::as_slice);
            match reader.read(machines, &ties) {
                Ok(imported) => plan.licenses.push(imported),
                Err(details) => {
                    plan.problems.extend(details.into_iter().map(|detail| of_license(license, detail)));
                }
            }
        }
        for page in export.missing_pages() {
            let (resource, id) = ("pages".to_owned(), page.to_owned());
            let detail = "isn't in the file: what it lists would be missing".to_owned();
            plan.problems.push(Remark { resource, id, detail });
        }
        for (license, machines) in &machines {
            if export.find("licenses", license).is_none() {
                let detail =
                    format!("{} machines are of this license, which isn't in the file", machines.len());
                plan.notes.push(Remark { resource: "licenses".into(), id: (*license).to_owned(), detail });
            }
        }
        plan.notes.sort_by(|a, b| (&a.resource, &a.id).cmp(&(&b.resource, &b.id)));
        for (kind, count) in export.kinds().filter(|(kind, _)| !READ.contains(kind)) {
            let detail = format!("{count} of them have no place here");
            plan.notes.push(Remark { resource: kind.to_owned(), id: String::new(), detail });
        }
        plan
    }
}

fn of_license(license: &Resource, detail: String) -> Remark {
    Remark { resource: "licenses".to_owned(), id: license.id.clone(), detail }
}

/// A license that is decided about.
struct Reading<'a> {
    export: &'a Export,
    choices: &'a Choices,
    license: &'a Resource,
    plan: &'a mut Plan,
}

impl<'a> Reading<'a> {
    /// Everything that is wrong with it, or what it becomes.
    fn read(
        &mut self,
        machines: &[&Resource],
        ties: &HashMap<&'a str, Vec<&'a Resource>>,
    ) -> Result<ImportedLicense, Vec<String>> {
        let mut wrong = Vec::new();
        let mut keep =
            |result: Result<Option<i64>, String>| result.map_err(|error| wrong.push(error)).ok().flatten();
        let starts_at = keep(instant(self.license, "created")).map(|at| at.min(self.choices.now));
        let expires_at = keep(instant(self.license, "expiry"));
        let product = self.product().map_err(|error| wrong.push(error)).ok();
        let entitlements = self.entitlements(ties).map_err(|error| wrong.push(error)).ok();
        let metadata = self.metadata().map_err(|error| wrong.push(error)).ok();
        let max_installs = self.seats().map_err(|error| wrong.push(error)).ok();
        // Where it isn't said, it is made now.
        if expires_at.is_some_and(|end| end <= starts_at.unwrap_or(self.choices.now)) {
            wrong.push("expiry isn't later than created".to_owned());
        }
        let (Some(product), Some(entitlements), Some(metadata), Some(max_installs), true) =
            (product, entitlements, metadata, max_installs, wrong.is_empty())
        else {
            return Err(wrong);
        };
        let machines = self.machines(&product, machines, max_installs);
        let license = NewLicense {
            product,
            customer: self.customer(),
            profile_id: self.choices.profile_id,
            max_installs,
            starts_at: starts_at.map(Time),
            expires_at: expires_at.map(Time),
            entitlements,
            lease_max_seconds: None,
            metadata,
        };
        let is_suspended = self.is_suspended();
        Ok(ImportedLicense {
            source: SOURCE,
            source_id: self.license.id.clone(),
            license,
            is_suspended,
            machines,
        })
    }

    fn note(&mut self, detail: impl Into<String>) {
        self.plan.notes.push(of_license(self.license, detail.into()));
    }

    fn policy(&self) -> Option<&'a Resource> {
        self.license.belongs_to("policy").and_then(|id| self.export.find("policies", id))
    }

    /// A number that the license has, or its policy.
    fn bound(&self, name: &str) -> Option<&'a Value> {
        self.license.attribute(name).or_else(|| self.policy()?.attribute(name))
    }

    /// Its product's code: the operator's word, else the code that Keygen has, else none.
    fn product(&self) -> Result<ProductCode, String> {
        let of_policy = || self.policy().and_then(|policy| policy.belongs_to("product"));
        let id = self.license.belongs_to("product").or_else(of_policy).unwrap_or_default();
        let code = self.export.find("products", id).and_then(|product| product.text("code"));
        let said = [Some(id).filter(|id| !id.is_empty()), code].into_iter().flatten();
        let chosen = said.chain([""]).find_map(|name| self.choices.products.get(name).cloned());
        chosen.or_else(|| code?.parse().ok()).ok_or_else(|| match (id, code) {
            ("", _) => "no product is named: --product CODE says which one it is".to_owned(),
            (id, None) => format!("product {id} has no code: --product {id}=CODE gives it one"),
            (id, Some(code)) => {
                format!("product code {code:?} can't be one here: --product {id}=CODE gives it another")
            }
        })
    }

    /// Whose it is: the owner's name or address, else the license's own name.
    fn customer(&self) -> String {
        let owner = self.license.belongs_to("owner").or_else(|| self.license.belongs_to("user"));
        let owner = owner.and_then(|id| self.export.find("users", id));
        let name = owner.and_then(|owner| owner.text("fullName").or_else(|| owner.text("email")));
        let name = name.or_else(|| self.license.text("name"));
        let name = name.map_or_else(|| format!("Keygen license {}", self.license.id), str::to_owned);
        name.chars().filter(|letter| !letter.is_control()).take(200).collect()
    }

    fn seats(&mut self) -> Result<i32, String> {
        let unknown: Vec<_> = UNKNOWN_BOUNDS.into_iter().filter(|name| self.bound(name).is_some()).collect();
        if !unknown.is_empty() {
            self.note(format!("{} bind nothing here", unknown.join(", ")));
        }
        match self.bound("maxMachines") {
            // Of a policy that isn't floating it is one, said or not.
            None if self.bound("floating") == Some(&Value::Bool(false)) => Ok(1),
            None => {
                self.note(format!("has no bound on machines: {MOST_SEATS} seats"));
                Ok(MOST_SEATS)
            }
            Some(seats) => seats
                .as_i64()
                .and_then(|seats| i32::try_from(seats).ok())
                .filter(|seats| (0..=MOST_SEATS).contains(seats))
                .ok_or_else(|| format!("maxMachines is {seats}, and has to be 0 to {MOST_SEATS}")),
        }
    }

    fn is_suspended(&mut self) -> bool {
        if self.license.text("status") == Some("BANNED") {
            self.note("its owner is banned: it is suspended");
            return true;
        }
        self.license.text("status") == Some("SUSPENDED")
            || self.license.attribute("suspended") == Some(&Value::Bool(true))
    }

    /// An object of the codes that it has, each true.
    fn entitlements(
        &self,
        ties: &HashMap<&'a str, Vec<&'a Resource>>,
    ) -> Result<Box<serde_json::value::RawValue>, String> {
        let mut codes = BTreeMap::new();
        for id in self.export.entitlements(self.license, ties) {
            let entitlement = self.export.find("entitlements", id);
            let code = entitlement.and_then(|entitlement| entitlement.text("code"));
            codes.insert(code.ok_or_else(|| format!("entitlement {id} isn't in the file"))?, true);
        }
        object("entitlements", &codes)
    }

    /// Keygen's own, and where it comes from.
    fn metadata(&self) -> Result<Box<serde_json::value::RawValue>, String> {
        let mut metadata = match self.license.attribute("metadata") {
            Some(Value::Object(metadata)) => metadata.clone(),
            _ => Map::new(),
        };
        let mut keygen = Map::from_iter([("id".to_owned(), Value::from(self.license.id.as_str()))]);
        if let Some(name) = self.license.text("name") {
            keygen.insert("name".to_owned(), name.into());
        }
        metadata.insert(SOURCE.to_owned(), keygen.into());
        object("metadata", &metadata)
    }

    /// The machines that get its seats: the first that were activated, as many as there are.
    fn machines(&mut self, product: &ProductCode, machines: &[&Resource], seats: i32) -> Vec<KnownMachine> {
        let mut known = Vec::new();
        let mut seen = BTreeSet::new();
        for machine in machines {
            let Some(raw) = machine.attribute("fingerprint").and_then(Value::as_str) else {
                self.note_machine(machine, "has no fingerprint: it activates as a new one");
                continue;
            };
            let activated_at = match instant(machine, "created") {
                Ok(at) => at.unwrap_or(self.choices.now).min(self.choices.now),
                Err(error) => {
                    self.note_machine(machine, format!("{error}: it counts as made now"));
                    self.choices.now
                }
            };
            let digest = fingerprint::digest(product, &self.choices.component, raw);
            if !seen.insert(digest.clone()) {
                self.note_machine(machine, "has the fingerprint of another: they are one");
                continue;
            }
            let Ok(fingerprint) = Fingerprint::new([(self.choices.component.clone(), digest)]) else {
                continue;
            };
            let name = machine.text("name").or_else(|| machine.text("hostname"));
            let short = |text: &str, length| {
                text.chars().filter(|letter| !letter.is_control()).take(length).collect::<String>()
            };
            known.push(KnownMachine {
                fingerprint,
                name: name.map(|name| short(name, 128)).filter(|name| !name.is_empty()),
                platform: machine.text("platform").map(|platform| short(platform, 64)).unwrap_or_default(),
                activated_at,
            });
        }
        known.sort_by_key(|machine| machine.activated_at);
        let seats = usize::try_from(seats).unwrap_or_default();
        if known.len() > seats {
            let over = known.len() - seats;
            self.note(format!("{over} machines, the newest, have no seat: they activate when there is room"));
            known.truncate(seats);
        }
        known
    }

    fn note_machine(&mut self, machine: &Resource, detail: impl Into<String>) {
        let (resource, id) = ("machines".to_owned(), machine.id.clone());
        self.plan.notes.push(Remark { resource, id, detail: detail.into() });
    }
}

fn instant(resource: &Resource, name: &str) -> Result<Option<i64>, String> {
    let Some(value) = resource.attribute(name) else { return Ok(None) };
    let at = value.as_str().and_then(parse_time);
    at.map(Some).ok_or_else(|| format!("{name} is {value}, and has to be a time of RFC 3339"))
}

fn object(name: &str, value: &impl Serialize) -> Result<Box<serde_json::value::RawValue>, String> {
    let text = serde_json::to_string(value).map_err(|error| format!("{name}: {error}"))?;
    parse_object(&text).map_err(|error| format!("{name} is {} bytes, and has to be {error}", text.len()))
}
