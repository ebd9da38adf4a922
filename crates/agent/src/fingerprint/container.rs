//! A container: the hardware below it is not its own, and its files are an image's.

use std::path::Path;

use super::{Component, read_system};

/// Where Kubernetes shows a pod who it is.
const SERVICE_ACCOUNT: &str = "var/run/secrets/kubernetes.io/serviceaccount";

/// One component, so that two containers of one deployment are two machines and never half the same: what names this
/// container's place.
///
/// In Kubernetes `pod`: the cluster (its certificate authority), the namespace and the pod's name. A `StatefulSet`'s
/// pod keeps it through every restart. Elsewhere `container`: the host name that it was given, or its own id.
pub(super) fn components(root: &Path) -> Vec<Component> {
    pod(root).or_else(|| container(root)).into_iter().collect()
}

fn pod(root: &Path) -> Option<Component> {
    let namespace = read_system(&root.join(SERVICE_ACCOUNT).join("namespace"))?;
    let cluster = read_system(&root.join(SERVICE_ACCOUNT).join("ca.crt")).unwrap_or_default();
    let name = hostname(root)?;
    Some(Component::new("pod", format!("{cluster}\n{namespace}\n{name}")))
}

/// A host name that is the beginning of the id was not given by anybody: the id says the same, in full.
fn container(root: &Path) -> Option<Component> {
    let (id, name) = (id(root), hostname(root));
    let given = name.filter(|name| !id.as_ref().is_some_and(|id| id.starts_with(name.as_str())));
    Some(Component::new("container", given.or(id)?))
}

fn hostname(root: &Path) -> Option<String> {
    ["proc/sys/kernel/hostname", "etc/hostname"].iter().find_map(|path| read_system(&root.join(path)))
}

/// The id under which the engine keeps the container's files, 64 hexadecimal digits, from the files that it mounts
/// into every container; or else from its control group.
fn id(root: &Path) -> Option<String> {
    const FOLDERS: [&str; 4] = ["containers", "overlay-containers", "sandboxes", "docker"];
    let of = |text: String| {
        let segments: Vec<_> = text.split(['/', ' ', '\n']).collect();
        let is_id =
            |segment: &str| segment.len() == 64 && segment.bytes().all(|byte| byte.is_ascii_hexdigit());
        let mut pairs = segments.windows(2);
        pairs.find_map(|pair| (FOLDERS.contains(&pair[0]) && is_id(pair[1])).then(|| pair[1].to_owned()))
    };
    ["proc/self/mountinfo", "proc/self/cgroup"].iter().find_map(|path| of(read_system(&root.join(path))?))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const ID: &str = "4bf0fa2088d278e8b115620ea74005f54bf0fa2088d278e8b115620ea74005f5";

    fn of(files: &[(&str, &str)]) -> Vec<(String, String)> {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        components(folder.path()).into_iter().map(|Component { name, raw }| (name, raw)).collect()
    }

    fn one(name: &str, raw: &str) -> Vec<(String, String)> {
        vec![(name.to_owned(), raw.to_owned())]
    }

    #[test]
    fn a_pod_is_its_cluster_namespace_and_name() {
        let pod = |name| {
            of(&[
                ("var/run/secrets/kubernetes.io/serviceaccount/namespace", "render"),
                ("var/run/secrets/kubernetes.io/serviceaccount/ca.crt", "certificate\n"),
                ("etc/hostname", name),
                ("proc/self/cgroup", &format!("0::/docker/{ID}\n")),
            ])
        };
        assert_eq!(pod("worker-0\n"), one("pod", "certificate\nrender\nworker-0"));
        assert_ne!(pod("worker-1"), pod("worker-0"));
    }

    #[test]
    fn a_container_is_the_host_name_that_it_was_given_or_its_id() {
        let mounts = format!(
            "1 2 254:1 /var/lib/docker/containers/{ID}/hostname /etc/hostname rw - ext4 /dev/vda1 rw\n"
        );
        let container =
            |name| of(&[("proc/self/mountinfo", mounts.as_str()), ("proc/sys/kernel/hostname", name)]);
        assert_eq!(container("render-1\n"), one("container", "render-1"));
        assert_eq!(container("4bf0fa2088d2\n"), one("container", ID));
        assert_eq!(
            of(&[("proc/self/cgroup", &format!("1:name=systemd:/docker/{ID}\n"))]),
            one("container", ID)
        );
        assert_eq!(of(&[("proc/self/mountinfo", &format!("1 2 /overlay2/{ID}/diff\n"))]), []);
    }
}
