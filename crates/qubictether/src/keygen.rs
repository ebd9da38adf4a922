//! What Keygen's API tells, read: resources of JSON:API, as they come in pages of its lists.
//!
//! The shapes are those of its public documentation (<https://keygen.sh/docs/api/>): licenses, machines, policies, products,
//! users, entitlements, and what ties an entitlement to a license or a policy.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::{Map, Value};

/// A resource.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Resource {
    #[serde(rename = "type")]
    kind: String,
    pub(crate) id: String,
    #[serde(default)]
    attributes: Map<String, Value>,
    #[serde(default)]
    relationships: Map<String, Value>,
}

impl Resource {
    /// An attribute that is there and not null.
    pub(crate) fn attribute(&self, name: &str) -> Option<&Value> {
        self.attributes.get(name).filter(|value| !value.is_null())
    }

    /// An attribute that is text, and not empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.attribute(name)?.as_str().map(str::trim).filter(|text| !text.is_empty())
    }

    /// The id of the one thing that this belongs to.
    pub(crate) fn belongs_to(&self, name: &str) -> Option<&str> {
        self.relationships.get(name)?.get("data")?.get("id")?.as_str()
    }

    /// The ids of the things that are tied to this, where the export says them.
    fn has(&self, name: &str) -> impl Iterator<Item = &str> {
        let tied = self.relationships.get(name).and_then(|tied| tied.get("data")).and_then(Value::as_array);
        tied.into_iter().flatten().filter_map(|tied| tied.get("id")?.as_str())
    }
}

/// Everything that an export holds, by kind and id.
#[derive(Debug, Default)]
pub(crate) struct Export {
    by_kind: BTreeMap<String, Vec<Resource>>,
    places: HashMap<(String, String), usize>,
    /// Entitlements of a license, as a list of that license's alone says them.
    listed: Vec<(String, String)>,
    /// The last page of each list that there is, by the list's path.
    pages: BTreeMap<String, u64>,
    /// Pages that others say come next.
    next: Vec<String>,
}

impl Export {
    /// Reads an export: one document of JSON:API, an array of documents or of resources, or any of these a line.
    ///
    /// # Errors
    /// What isn't as JSON:API has it, and where.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let mut export = Self::default();
        for (number, value) in serde_json::Deserializer::from_str(text).into_iter::<Value>().enumerate() {
            export
                .take(value.map_err(|error| error.to_string())?)
                .map_err(|error| format!("value {} of the file: {error}", number + 1))?;
        }
        Ok(export)
    }

    /// Takes the resources of a value; of one that comes twice (it was included in several pages) the last.
    fn take(&mut self, value: Value) -> Result<(), String> {
        match value {
            Value::Array(values) => values.into_iter().try_for_each(|value| self.take(value)),
            Value::Object(mut object) if object.contains_key("data") => {
                let data = object.remove("data").unwrap_or_default();
                self.note_list(object.get("links"), &data);
                self.note_page(object.get("links"));
                self.take(data)?;
                self.take(object.remove("included").unwrap_or(Value::Array(Vec::new())))
            }
            Value::Object(object) if object.contains_key("errors") => {
                let first =
                    object["errors"].get(0).and_then(|error| error.get("detail").or(error.get("title")));
                let detail = first.and_then(Value::as_str).unwrap_or("it doesn't say which");
                Err(format!("Keygen has answered with an error there: {detail}"))
            }
            Value::Object(object) => {
                let resource: Resource = serde_json::from_value(Value::Object(object))
                    .map_err(|error| format!("no resource of JSON:API: {error}"))?;
                self.insert(resource);
                Ok(())
            }
            _ => Err("neither a document nor a resource of JSON:API".to_owned()),
        }
    }

    /// `/licenses/ID/entitlements` lists what that license has, which nothing else in the answer says.
    fn note_list(&mut self, links: Option<&Value>, data: &Value) {
        let address = links.and_then(|links| links.get("self")).and_then(Value::as_str).unwrap_or_default();
        let path = address.split('?').next().unwrap_or_default();
        let Some((before, "entitlements")) = path.rsplit_once('/') else { return };
        let Some((_, license)) = before.rsplit_once("/licenses/") else { return };
        let ids =
            data.as_array().into_iter().flatten().filter_map(|entitlement| entitlement.get("id")?.as_str());
        self.listed.extend(ids.map(|id| (license.to_owned(), id.to_owned())));
    }

    /// Notes which page of a list a document is, and whether another comes after it.
    fn note_page(&mut self, links: Option<&Value>) {
        let link = |name: &str| links.and_then(|links| links.get(name)).and_then(Value::as_str);
        let next = link("next");
        let this =
            link("self").map(page).into_iter().chain(next.map(page).map(|(list, next)| (list, next - 1)));
        for (list, number) in this {
            let last = self.pages.entry(list).or_default();
            *last = number.max(*last);
        }
        self.next.extend(next.map(str::to_owned));
    }

    /// Pages that come after one that is there, and aren't.
    pub(crate) fn missing_pages(&self) -> impl Iterator<Item = &str> {
        let is_missing = |link: &&str| {
            let (list, number) = page(link);
            self.pages.get(&list).is_none_or(|last| *last < number)
        };
        self.next.iter().map(String::as_str).filter(is_missing)
    }

    fn insert(&mut self, resource: Resource) {
        let list = self.by_kind.entry(resource.kind.clone()).or_default();
        match self.places.entry((resource.kind.clone(), resource.id.clone())) {
            std::collections::hash_map::Entry::Occupied(place) => list[*place.get()] = resource,
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(list.len());
                list.push(resource);
            }
        }
    }

    /// All of a kind.
    pub(crate) fn all(&self, kind: &str) -> &[Resource] {
        self.by_kind.get(kind).map_or(&[], Vec::as_slice)
    }

    /// One of a kind.
    pub(crate) fn find(&self, kind: &str, id: &str) -> Option<&Resource> {
        let place = self.places.get(&(kind.to_owned(), id.to_owned()))?;
        self.all(kind).get(*place)
    }

    /// Which kinds there are, and how many of each.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = (&str, usize)> {
        self.by_kind.iter().map(|(kind, all)| (kind.as_str(), all.len()))
    }

    /// What belongs to each license: `machines` by the license's id.
    pub(crate) fn by_license<'a>(&'a self, kind: &str) -> HashMap<&'a str, Vec<&'a Resource>> {
        let mut found: HashMap<&str, Vec<&Resource>> = HashMap::new();
        for resource in self.all(kind) {
            if let Some(license) = resource.belongs_to("license") {
                found.entry(license).or_default().push(resource);
            }
        }
        found
    }

    /// The ids of the entitlements of a license, its policy's among them, each once.
    pub(crate) fn entitlements<'a>(
        &'a self,
        license: &'a Resource,
        tied: &HashMap<&'a str, Vec<&'a Resource>>,
    ) -> Vec<&'a str> {
        let policy = license.belongs_to("policy");
        let of_policy = policy.and_then(|id| self.find("policies", id));
        let links = tied.get(license.id.as_str()).into_iter().flatten().copied();
        let policy_links = self
            .all("policy-entitlements")
            .iter()
            .filter(|link| policy.is_some() && link.belongs_to("policy") == policy);
        let mut ids: Vec<&str> = license.has("entitlements").collect();
        ids.extend(of_policy.into_iter().flat_map(|policy| policy.has("entitlements")));
        ids.extend(links.chain(policy_links).filter_map(|link| link.belongs_to("entitlement")));
        ids.extend(self.listed.iter().filter(|(of, _)| *of == license.id).map(|(_, id)| id.as_str()));
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}

/// Which list a link is of, by its path, and which page of it: the first where it doesn't say, and never none.
fn page(link: &str) -> (String, u64) {
    let (list, query) = link.split_once('?').unwrap_or((link, ""));
    let list = list.find("/v1/").map_or(list, |at| &list[at..]);
    let number = query.split('&').find_map(|pair| {
        let (name, number) = pair.split_once('=')?;
        matches!(name, "page[number]" | "page%5Bnumber%5D").then_some(number)?.parse().ok()
    });
    (list.to_owned(), number.unwrap_or(1).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_another_says_comes_next_and_isnt_there_is_missed() {
        let page = |list: &str, number: u64, next: Option<u64>| {
            let link = |number: u64| format!("/v1/accounts/acme/{list}?page[number]={number}&page[size]=10");
            let links = serde_json::json!({ "self": link(number), "next": next.map(link) });
            serde_json::json!({ "data": [], "links": links }).to_string()
        };
        let missing = |pages: &[String]| {
            Export::read(&pages.concat()).unwrap().missing_pages().map(str::to_owned).collect::<Vec<_>>()
        };
        let all = [page("licenses", 2, None), page("licenses", 1, Some(2)), page("machines", 1, None)];
        assert_eq!(missing(&all), [""; 0], "in whatever order");
        let cut = [page("licenses", 1, Some(2)), page("machines", 2, None)];
        assert_eq!(missing(&cut), ["/v1/accounts/acme/licenses?page[number]=2&page[size]=10"]);
        let absolute = r#"{"data":[],"links":{"self":"https://api.keygen.sh/v1/accounts/acme/users?page%5Bnumber%5D=2"}}"#;
        assert_eq!(
            missing(&[page("users", 1, Some(2)), absolute.to_owned()]),
            [""; 0],
            "however it is written"
        );
        let bare = r#"{"data":[],"links":{"next":"/v1/accounts/acme/users?page[number]=0"}}"#;
        assert_eq!(missing(&[bare.to_owned()]).len(), 1, "a page before the first is none");
    }

    #[test]
    fn an_export_is_read_in_whatever_pieces_it_comes() {
        let license = r#"{"type":"licenses","id":"l1","attributes":{"name":"one"}}"#;
        for text in [
            format!(r#"{{"data":{license}}}"#),
            format!(r#"{{"data":[{license}],"included":[{{"type":"products","id":"p"}}],"links":{{}}}}"#),
            format!(r#"[{{"data":[{license}]}},{{"data":[]}}]"#),
            format!("[{license}]"),
            format!("{license}\n{{\"data\":[{license}]}}\n"),
        ] {
            let export = Export::read(&text).unwrap();
            assert_eq!(export.all("licenses").len(), 1, "{text}");
            assert_eq!(export.find("licenses", "l1").unwrap().text("name"), Some("one"));
        }
    }

    #[test]
    fn what_is_no_export_says_where() {
        assert!(Export::read("{\"data\":[7]}").unwrap_err().starts_with("value 1 of the file: neither"));
        assert!(Export::read("[]\n{\"id\":\"x\"}").unwrap_err().contains("value 2"));
        assert!(Export::read("{\"data\":").unwrap_err().contains("line 1"));
        let refused =
            r#"{"meta":{"id":"1"},"errors":[{"title":"Unauthorized","detail":"You must be authenticated"}]}"#;
        assert!(Export::read(refused).unwrap_err().ends_with("an error there: You must be authenticated"));
        assert!(Export::read("").unwrap().kinds().next().is_none());
    }

    #[test]
    fn entitlements_come_from_the_license_its_policy_and_the_ties_between() {
        let text = r#"[
            {"type":"licenses","id":"l","relationships":{"policy":{"data":{"type":"policies","id":"p"}},
             "entitlements":{"data":[{"type":"entitlements","id":"a"}]}}},
            {"type":"policies","id":"p","relationships":{"entitlements":{"data":[{"type":"entitlements","id":"b"}]}}},
            {"type":"license-entitlements","id":"x","relationships":{"license":{"data":{"id":"l"}},"entitlement":{"data":{"id":"c"}}}},
            {"type":"license-entitlements","id":"y","relationships":{"license":{"data":{"id":"other"}},"entitlement":{"data":{"id":"e"}}}},
            {"data":[{"type":"entitlements","id":"f"}],"links":{"self":"/v1/accounts/acme/licenses/l/entitlements?page=1"}},
            {"data":[{"type":"entitlements","id":"g"}],"links":{"self":"/v1/accounts/acme/entitlements"}},
            {"data":[{"type":"entitlements","id":"h"}],"links":{"self":"/v1/accounts/acme/licenses/other/entitlements"}},
            {"type":"policy-entitlements","id":"z","relationships":{"policy":{"data":{"id":"p"}},"entitlement":{"data":{"id":"d"}}}}]"#;
        let export = Export::read(text).unwrap();
        let tied = export.by_license("license-entitlements");
        assert_eq!(export.entitlements(&export.all("licenses")[0], &tied), ["a", "b", "c", "d", "f"]);
    }
}
