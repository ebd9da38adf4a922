//! A machine of its own: real, or virtual.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Component, read_system};

/// What firmware says where nobody gave a value, in lower case.
const PLACEHOLDERS: &[&str] = &[
    "none",
    "n/a",
    "na",
    "null",
    "unknown",
    "default",
    "default string",
    "empty",
    "invalid",
    "oem",
    "o.e.m.",
    "not specified",
    "not applicable",
    "not available",
    "not present",
    "not set",
    "to be filled by o.e.m.",
    "to be filled by o.e.m",
    "system serial number",
    "system product name",
    "base board serial number",
    "board serial number",
    "chassis serial number",
    "serial number",
    "uninitialized",
    "0123456789",
    "123456789",
    "1234567890",
    "03000200-0400-0500-0006-000700080009",
    "00020003-0004-0005-0006-000700080009",
];

/// What there is of: the installation, the board, the network and the disk. Each name stands for one thing, however
/// many of it the machine has, so that another card or disk changes nothing as long as the first one stays.
pub(super) fn components(root: &Path) -> Vec<Component> {
    let dmi = |file: &str| read_value(&root.join("sys/class/dmi/id").join(file));
    let found = [
        ("machine_id", machine_id(root)),
        ("product_uuid", dmi("product_uuid").map(|uuid| uuid.to_ascii_lowercase())),
        ("product_serial", dmi("product_serial")),
        ("board_serial", dmi("board_serial")),
        ("mac", mac(root)),
        ("disk_serial", disk_serial(root)),
    ];
    found.into_iter().filter_map(|(name, raw)| Some(Component::new(name, raw?))).collect()
}

fn machine_id(root: &Path) -> Option<String> {
    ["etc/machine-id", "var/lib/dbus/machine-id"].iter().find_map(|path| read_value(&root.join(path)))
}

/// The lowest address that a physical network card was made with; one on USB, which is often pulled, only where there
/// is no other.
fn mac(root: &Path) -> Option<String> {
    let cards = entries(root.join("sys/class/net")).filter_map(|card| {
        // Bridges, tunnels and containers' ends have no device; addresses that somebody set don't last.
        let device = fs::canonicalize(card.join("device")).ok()?;
        let is_permanent = read_system(&card.join("addr_assign_type")).is_none_or(|by| by == "0");
        let address = read_value(&card.join("address"))?.to_ascii_lowercase();
        is_permanent.then(|| (device.to_string_lossy().contains("/usb"), address))
    });
    cards.min().map(|(_, address)| address)
}

/// The lowest serial number, or other name of its own, of the disks that can't be pulled.
fn disk_serial(root: &Path) -> Option<String> {
    let disks = entries(root.join("sys/block")).filter_map(|disk| {
        // Loops, RAM disks and volumes have no device.
        let is_fixed = disk.join("device").exists()
            && read_system(&disk.join("removable")).is_none_or(|removable| removable == "0");
        let names = ["device/serial", "serial", "device/wwid", "wwid"];
        is_fixed.then(|| names.iter().find_map(|name| read_value(&disk.join(name)))).flatten()
    });
    disks.min()
}

fn entries(folder: impl AsRef<Path>) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()))
}

/// A value that says something.
fn read_value(path: &Path) -> Option<String> {
    read_system(path).filter(|value| !is_placeholder(value))
}

fn is_placeholder(value: &str) -> bool {
    let value = value.to_ascii_lowercase();
    let mut significant = value.chars().filter(|character| character.is_alphanumeric());
    let first = significant.next();
    PLACEHOLDERS.contains(&value.as_str()) || significant.all(|character| Some(character) == first)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A machine's files.
    struct Tree(tempfile::TempDir);

    impl Tree {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn file(&self, path: &str, text: &str) -> &Self {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{text}\n")).unwrap();
            self
        }

        fn card(&self, name: &str, address: &str, device: Option<&str>, assigned: &str) -> &Self {
            let card = format!("sys/class/net/{name}");
            self.file(&format!("{card}/address"), address)
                .file(&format!("{card}/addr_assign_type"), assigned);
            if let Some(device) = device {
                let device = self.0.path().join("sys/devices").join(device);
                fs::create_dir_all(&device).unwrap();
                symlink(device, self.0.path().join(card).join("device")).unwrap();
            }
            self
        }

        fn components(&self) -> Vec<(String, String)> {
            components(self.0.path()).into_iter().map(|Component { name, raw }| (name, raw)).collect()
        }

        fn component(&self, wanted: &str) -> Option<String> {
            self.components().into_iter().find_map(|(name, raw)| (name == wanted).then_some(raw))
        }
    }

    #[test]
    fn a_laptop_shows_six_components() {
        let tree = Tree::new();
        tree.file("etc/machine-id", "b5f6c1d2e3f4a5b6c7d8e9f0a1b2c3d4")
            .file("sys/class/dmi/id/product_uuid", "4C4C4544-0042-3510-8052-B4C04F4A4E32")
            .file("sys/class/dmi/id/product_serial", "5BRZ1N2")
            .file("sys/class/dmi/id/board_serial", "/5BRZ1N2/CNCMC0097A00B7/")
            .card("wlan0", "9c:b6:d0:e8:1c:77", Some("pci/0000:3a"), "0")
            .file("sys/block/nvme0n1/device/serial", "S3X4NB0K301234 ")
            .file("sys/block/nvme0n1/removable", "0");
        assert_eq!(
            tree.components(),
            [
                ("machine_id", "b5f6c1d2e3f4a5b6c7d8e9f0a1b2c3d4"),
                ("product_uuid", "4c4c4544-0042-3510-8052-b4c04f4a4e32"),
                ("product_serial", "5BRZ1N2"),
                ("board_serial", "/5BRZ1N2/CNCMC0097A00B7/"),
                ("mac", "9c:b6:d0:e8:1c:77"),
                ("disk_serial", "S3X4NB0K301234"),
            ]
            .map(|(name, raw)| (name.to_owned(), raw.to_owned()))
        );
    }

    #[test]
    fn the_lowest_permanent_address_of_a_physical_card_counts_and_usb_comes_last() {
        let tree = Tree::new();
        tree.card("lo", "00:00:00:00:00:00", None, "0").card("docker0", "02:00:00:00:00:01", None, "0");
        assert_eq!(tree.component("mac"), None);
        tree.card("dock", "00:11:22:33:44:55", Some("pci/usb1/1-1"), "0");
        assert_eq!(tree.component("mac").unwrap(), "00:11:22:33:44:55");
        tree.card("eth1", "AA:00:00:00:00:02", Some("pci/2"), "0").card(
            "eth0",
            "ff:00:00:00:00:01",
            Some("pci/1"),
            "0",
        );
        assert_eq!(tree.component("mac").unwrap(), "aa:00:00:00:00:02");
        tree.card("wlan0", "0a:00:00:00:00:09", Some("pci/3"), "3");
        assert_eq!(tree.component("mac").unwrap(), "aa:00:00:00:00:02");
    }

    #[test]
    fn the_lowest_serial_of_a_fixed_disk_counts() {
        let tree = Tree::new();
        tree.file("sys/block/loop0/serial", "0000A")
            .file("sys/block/sdb/device/serial", "0001")
            .file("sys/block/sdb/removable", "1");
        assert_eq!(tree.component("disk_serial"), None);
        tree.file("sys/block/sda/device/wwid", "naa.5002538e40a5c1d7");
        assert_eq!(tree.component("disk_serial").unwrap(), "naa.5002538e40a5c1d7");
        tree.file("sys/block/vda/device/model", "x").file("sys/block/vda/serial", "abc123");
        assert_eq!(tree.component("disk_serial").unwrap(), "abc123");
    }

    #[test]
    fn what_firmware_says_where_nobody_gave_a_value_is_no_component() {
        for placeholder in [
            "To be filled by O.E.M.",
            "None",
            "Default string",
            "00000000-0000-0000-0000-000000000000",
            "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
            "03000200-0400-0500-0006-000700080009",
            "00:00:00:00:00:00",
            "xxxxxxxx",
            "........",
            "0",
        ] {
            assert!(is_placeholder(placeholder), "{placeholder}");
            let tree = Tree::new();
            tree.file("sys/class/dmi/id/board_serial", placeholder).file("etc/machine-id", placeholder);
            assert_eq!(tree.components(), []);
        }
        for value in ["5BRZ1N2", "00:00:00:00:00:01", "None-1"] {
            assert!(!is_placeholder(value), "{value}");
        }
    }
}
