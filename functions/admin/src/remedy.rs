//! What an operator can do about a reason, where something has to be done: with the route and the command that do it.

use policy::{Comparison, Reason, score};
use protocol::admin::{Component, JudgingVersion, SeatPlace, Time};
use store::Subject;

/// What would mend an install that is judged for `reason`; none: nothing has to be mended.
pub(crate) fn remedy(
    reason: Reason,
    subject: &Subject,
    components: &[Component],
    profile: &JudgingVersion,
    seat: SeatPlace,
) -> Option<String> {
    let (install, license, terms) = (subject.id, subject.license_id, &subject.terms);
    let knobs = &subject.profile.knobs.judging;
    let since = |at: Option<i64>| at.map_or_else(String::new, |at| format!(" since {}", Time(at)));
    let on_install = |action: &str| {
        format!("POST /v1/admin/installs/{install}/{action} (qubictether install {action} {install})")
    };
    let change_license = |member: &str, flag: &str| {
        format!(
            "PATCH /v1/admin/licenses/{license} with {member} (qubictether license change {license} {flag})"
        )
    };
    let judged_by = format!("version {} of profile {}", profile.number, profile.name);
    Some(match reason {
        Reason::Ok | Reason::OfflineLease => return None,
        Reason::LicenseRevoked => format!(
            "nothing mends it: license {license} is revoked{} for good; the machine has to activate with another \
             license's key",
            since(terms.revoked_at)
        ),
        Reason::InstallRevoked => format!(
            "nothing mends it: install {install} is revoked{} for good, and its machine can't activate under license \
             {license} again; with another license's key it can",
            since(subject.revoked_at)
        ),
        Reason::LicenseSuspended => format!(
            "license {license} is suspended{}; to end that: POST /v1/admin/licenses/{license}/resume (qubictether \
             license resume {license})",
            since(terms.suspended_at)
        ),
        Reason::InstallSuspended => {
            format!("it is suspended{}; to end that: {}", since(subject.suspended_at), on_install("resume"))
        }
        Reason::CloneSuspected => format!(
            "a second holder of its secret is suspected{}: find out which machine is the copy and stop it; then {}, after \
             which the right machine activates again with a secret of its own, or, if it was no copy, {}, which \
             clears the suspicion and keeps the secret",
            since(subject.clone_suspected_at),
            on_install("reset"),
            on_install("rebind")
        ),
        Reason::AwaitingApproval => {
            format!(
                "it waits for an operator{}: {}",
                since(Some(subject.activated_at)),
                on_install("approve")
            )
        }
        Reason::LicenseNotStarted => format!(
            "the license starts {}: wait until then, or {}",
            Time(terms.starts_at),
            change_license("starts_at", "--starts-at TIME")
        ),
        Reason::FingerprintMismatch | Reason::FingerprintDrift => {
            let score = score(subject.bound.as_policy(), subject.observed.as_policy(), &knobs.weights);
            format!(
                "{}; score {score}, min_match {} in {judged_by}. If the machine was rebuilt: {} binds what was last \
                 observed. If it is another machine, it needs an activation of its own",
                told(components),
                knobs.min_match.to_json(),
                on_install("rebind")
            )
        }
        Reason::LicenseExpired => format!(
            "license {license} ended {}: {}, a later one or none",
            terms.expires_at.map_or_else(|| "never".to_owned(), |end| Time(end).to_string()),
            change_license("expires_at", "--expires-at TIME")
        ),
        Reason::SeatsExceeded => seats_exceeded(subject, seat, &change_license),
        Reason::OutOfContact => {
            let lease = subject.lease.map(|lease| format!(", its lease's end is {}", Time(lease.ends_at)));
            let lease = lease.unwrap_or_default();
            format!(
                "it was last heard of {}{lease}, and silence_tolerance is {} s: see to it that its agent runs and reaches the \
                 server; its next heartbeat ends this",
                Time(subject.last_contact),
                knobs.silence_tolerance
            )
        }
        Reason::ClockSkew => {
            let skew = subject.clock_skew.unwrap_or_default();
            format!(
                "the machine's clock is {} s {} the server's, and max_clock_skew is {} s in {judged_by}: set it (NTP); the \
                 next heartbeat ends this",
                skew.unsigned_abs(),
                if skew < 0 { "behind" } else { "ahead of" },
                knobs.max_clock_skew
            )
        }
        Reason::AgentOutdated => format!(
            "agent {} is older than {}, the min_agent_version of {judged_by}: update it",
            subject.agent_version,
            knobs.min_agent_version.as_deref().unwrap_or("any")
        ),
    })
}

fn seats_exceeded(
    subject: &Subject,
    seat: SeatPlace,
    change_license: &dyn Fn(&str, &str) -> String,
) -> String {
    let license = subject.license_id;
    let SeatPlace { rank, taken, max_installs } = seat;
    let place = rank.map_or_else(
        || "this one holds none".to_owned(),
        |rank| format!("this one's place among the holders is {rank}"),
    );
    let wanted = taken + i64::from(rank.is_none());
    format!(
        "license {license} has {max_installs} seats, {taken} are taken, and {place}: {}, {wanted} or more, or revoke an \
         install that isn't needed (GET /v1/admin/installs?license_id={license}, qubictether install list --license-id \
         {license}; then POST /v1/admin/installs/ID/revoke, qubictether install revoke ID); the next heartbeat ends this",
        change_license("max_installs", &format!("--max-installs {wanted}"))
    )
}

/// `mac differs, board_serial is missing`.
fn told(components: &[Component]) -> String {
    let one = |component: &Component| match component.comparison {
        Comparison::Differs => Some(format!("{} differs", component.name)),
        Comparison::Missing => Some(format!("{} is missing", component.name)),
        Comparison::Matches | Comparison::Unbound => None,
    };
    components.iter().filter_map(one).collect::<Vec<_>>().join(", ")
}
