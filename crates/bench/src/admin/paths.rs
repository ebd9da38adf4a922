//! Every page of the admin API, with every filter, at its beginning and deep inside.

use jose_jwt::base64url;
use protocol::{admin::Time, id};

use super::pages::Caller;
use crate::error::Error;

const DAY: i64 = 86_400;

const STATES: [&str; 10] = [
    "authorized",
    "warned",
    "leased",
    "grace",
    "degraded",
    "pending",
    "locked",
    "quarantined",
    "suspended",
    "revoked",
];

/// Lists that are filtered, each with a cursor deep inside of it.
struct List {
    resource: &'static str,
    cursor: String,
    filters: Vec<String>,
}

/// What the database holds.
struct Known {
    now: i64,
    /// How long ago the first contact was, seconds.
    span: i64,
    installs: i64,
    /// The license with the most installs, and one with a few.
    large: String,
    small: String,
    customer: String,
    profile: String,
    install: String,
    /// An install with leases.
    leased: String,
    /// Whom and what the newest row of the admin audit log names.
    actor: String,
    thing: String,
}

/// Paths of all pages, made from what the database holds.
pub(crate) async fn paths(caller: &mut Caller<'_>, now: i64) -> Result<Vec<String>, Error> {
    let known = Known::ask(caller, now).await?;
    let lists = [known.installs(), known.licenses(), known.leases(), known.contacts(), known.audit()];
    let both = |list: List| {
        let List { resource, cursor, filters } = list;
        filters.into_iter().flat_map(move |filter| {
            let and = if filter.is_empty() { "" } else { "&" };
            [format!("/{resource}?{filter}"), format!("/{resource}?{filter}{and}cursor={cursor}")]
        })
    };
    Ok(known.others().into_iter().chain(lists.into_iter().flat_map(both)).collect())
}

impl Known {
    async fn ask(caller: &mut Caller<'_>, now: i64) -> Result<Self, Error> {
        let fleet = caller.site.fleet;
        let first = async |caller: &mut Caller<'_>, path: &str, member: &str| {
            let (body, _) = caller.call(path).await?;
            Ok::<_, Error>(body["items"][0][member].as_str().unwrap_or_default().to_owned())
        };
        let middle = format!("/licenses?limit=1&cursor={}", by_id(now - 400 * DAY));
        Ok(Self {
            now,
            span: fleet.weeks * 7 * DAY,
            installs: fleet.installs,
            large: first(caller, "/licenses?limit=1", "id").await?,
            small: first(caller, &middle, "id").await?,
            customer: first(caller, &middle, "customer").await?.replace(' ', "%20"),
            profile: first(caller, "/profiles?limit=1", "id").await?,
            install: first(caller, &format!("/installs?limit=1&cursor={}", by_id(now - 200 * DAY)), "id")
                .await?,
            leased: first(caller, "/leases?limit=1", "install_id").await?,
            actor: first(caller, "/audit?limit=1", "actor_id").await?,
            thing: first(caller, "/audit?limit=1", "resource_id").await?,
        })
    }

    fn others(&self) -> Vec<String> {
        let Self { large, install, profile, .. } = self;
        vec![
            "/overview".to_owned(),
            "/profiles".to_owned(),
            "/signing-keys".to_owned(),
            "/users".to_owned(),
            "/api-keys".to_owned(),
            format!("/licenses/{large}"),
            format!("/installs/{install}"),
            format!("/installs/{install}/heartbeats"),
            format!("/profiles/{profile}"),
            format!("/profiles/{profile}/versions"),
        ]
    }

    fn installs(&self) -> List {
        let (large, small) = (format!("license_id={}", self.large), format!("license_id={}", self.small));
        let silent = |minutes: i64| format!("silent_since={}", Time(self.now - minutes * 60));
        let mut filters = vec![String::new(), large.clone(), small];
        filters.extend(STATES.map(|state| format!("state={state}")));
        let statuses = ["active", "pending", "suspended", "deactivated", "revoked"];
        filters.extend(statuses.map(|status| format!("status={status}")));
        filters.extend([0, 25, 60, 120, 1_440, 28_800].map(silent));
        let words = ["node", "oslo", "node%20oslo", "render-oslo-1", "gpu%20quito%2012", "nowhere"];
        filters.extend(words.map(|words| format!("q={words}")));
        let besides = ["state=authorized", "state=locked", "state=grace", "status=active", "status=pending"];
        filters.extend(besides.map(|besides| format!("{large}&{besides}")));
        filters.extend(["node", "oslo", "nowhere"].map(|words| format!("{large}&q={words}")));
        filters.extend([60, 120, 28_800].map(|minutes| format!("{large}&{}", silent(minutes))));
        let pairs = [
            "state=authorized&status=suspended",
            "state=locked&status=active",
            "state=suspended&status=active",
            "state=authorized&q=node",
            "state=grace&q=node",
            "state=pending&q=oslo",
            "status=pending&q=node",
            "status=deactivated&q=oslo",
            "state=locked&status=active&q=node%20oslo",
        ];
        filters.extend(pairs.map(str::to_owned));
        let with_silence =
            ["state=authorized", "state=locked", "state=grace", "status=active", "q=node", "q=oslo"];
        filters.extend(with_silence.map(|filter| format!("{filter}&{}", silent(120))));
        List { resource: "installs", cursor: by_id(self.now - 200 * DAY), filters }
    }

    fn licenses(&self) -> List {
        let Self { customer, profile, .. } = self;
        let mut filters =
            vec![String::new(), format!("customer={customer}"), format!("profile_id={profile}")];
        filters.extend(["acme.render", "acme.cad", "nothing"].map(|product| format!("product={product}")));
        let statuses = ["active", "suspended", "revoked"];
        for before in ["", "product=acme.cad&", &format!("profile_id={profile}&"), "q=ltd&"] {
            filters.extend(statuses.map(|status| format!("{before}status={status}")));
        }
        let words = ["ltd", "north", "blue%20studios", "acme", "nobody"];
        filters.extend(words.map(|words| format!("q={words}")));
        filters.push(format!("customer={customer}&status=revoked"));
        filters.push(format!("customer={customer}&product=acme.vault"));
        filters.push("q=north&product=acme.cad".to_owned());
        filters.push(format!("q=ltd&profile_id={profile}"));
        List { resource: "licenses", cursor: by_id(self.now - 400 * DAY), filters }
    }

    fn leases(&self) -> List {
        let large = format!("license_id={}", self.large);
        let leased = format!("install_id={}", self.leased);
        let mut filters =
            vec![String::new(), large.clone(), format!("license_id={}", self.small), leased.clone()];
        for status in ["live", "renewed", "returned", "revoked", "ended"] {
            let of = ["", &format!("&{large}"), &format!("&{leased}")];
            filters.extend(of.map(|of| format!("status={status}{of}")));
        }
        List { resource: "leases", cursor: by_id(self.now - 150 * DAY), filters }
    }

    fn contacts(&self) -> List {
        let half = self.now - self.span / 2;
        let window = |from: i64, to: i64| format!("from={}&to={}", Time(from), Time(to));
        let mut filters = vec![String::new()];
        filters.extend(STATES.map(|state| format!("state={state}")));
        filters.extend([1, 3, 8, 9, 11, 13, 14].map(|rule| format!("rule={rule}")));
        filters.extend(["accepted", "clone", "refused"].map(|outcome| format!("outcome={outcome}")));
        filters.extend([window(half, half + 3_600), window(half, self.now)]);
        filters.extend([format!("to={}", Time(half)), format!("from={}", Time(half))]);
        let of = [
            format!("license_id={}", self.large),
            format!("license_id={}", self.small),
            format!("install_id={}", self.install),
        ];
        let besides = [
            "state=locked",
            "state=authorized",
            "state=quarantined",
            "outcome=clone",
            "outcome=refused",
            "rule=13",
        ];
        for of in of {
            filters.extend(besides.map(|besides| format!("{of}&{besides}")));
            filters.push(format!("{of}&{}", window(half, half + DAY)));
            filters.push(of);
        }
        let pairs =
            ["state=locked&outcome=clone", "state=authorized&outcome=refused", "rule=14&outcome=clone"];
        filters.extend(pairs.map(str::to_owned));
        filters.push(format!("state=locked&{}", window(half, half + DAY)));
        filters.push(format!("outcome=clone&to={}", Time(half)));
        let cursor = [half.to_be_bytes().as_slice(), &[0; 16]].concat();
        List { resource: "heartbeats", cursor: base64url::encode(&cursor), filters }
    }

    fn audit(&self) -> List {
        let Self { actor, thing, now, .. } = self;
        let (half, beginning) = (Time(now - 200 * DAY), Time(now - 390 * DAY));
        let filters = vec![
            String::new(),
            format!("actor_id={actor}"),
            format!("resource_id={thing}"),
            "actor=user".to_owned(),
            "actor=api_key".to_owned(),
            "actor=command_line".to_owned(),
            "action=license.suspend".to_owned(),
            "action=nothing".to_owned(),
            "resource=license".to_owned(),
            "resource=install".to_owned(),
            format!("from={half}&to={}", Time(now - 170 * DAY)),
            format!("to={half}"),
            format!("to={beginning}"),
            "actor=command_line&action=license.suspend".to_owned(),
            format!("actor=api_key&resource_id={thing}"),
            format!("actor_id={actor}&action=license.resume"),
            format!("action=license.suspend&to={half}"),
            format!("resource=license&resource_id={thing}&actor_id={actor}"),
        ];
        let cursor = base64url::encode(&(self.installs / 20).to_be_bytes());
        List { resource: "audit", cursor, filters }
    }
}

/// The cursor of a list by ids, at those that were made at a time.
fn by_id(at: i64) -> String {
    base64url::encode(id::v7(at * 1_000, [0; 10]).as_bytes())
}
