//! Signing in and out, and the second factor.
//!
//! INVARIANT(sign-in): whoever doesn't know an account's password learns nothing of it, not whether it exists, by the
//! answer or by its time; and each failure makes the next attempt wait longer, of the account and of the address.

use std::net::IpAddr;

use protocol::UserId;
use protocol::admin::{
    ActorKind, Credentials, Enrolment, PresentedPassword, RecoveryCodes, Session, Time, TotpEnabled,
};
use sha2::{Digest, Sha256};
use store::{Actor, Attempt, SESSION_LIFE, Store, UserRow};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::operator::{Operator, States};
use crate::password::Passwords;
use crate::{token, totp, user};

/// What an attempt to sign in comes to.
pub(crate) enum SignIn {
    /// Somebody is signed in: the cookie's value, and who it is.
    Done(Zeroizing<String>, Session),
    /// No such account, or another password.
    Refused,
    /// The password is right; a code that is right is wanted, too.
    CodeWanted,
    /// Too many have failed: the next attempt is looked at after so many seconds.
    Wait(u64),
}

/// Signs somebody in.
///
/// # Errors
/// When the database isn't available, or too many sign in at once.
pub(crate) async fn sign_in(
    store: &Store,
    passwords: &Passwords,
    credentials: &Credentials,
    address: Option<IpAddr>,
) -> Result<SignIn, Error> {
    let email = credentials.email.trim().to_lowercase();
    let attempt = attempt(&email, address);
    if let Some(seconds) = store.take_sign_in(&attempt).await? {
        return Ok(SignIn::Wait(seconds.unsigned_abs()));
    }
    let found = store.find_user_by_email(&email).await?;
    let hash = found.as_ref().map(|user| user.password_hash.as_str());
    let is_right = passwords.verify(credentials.password.text(), hash).await?;
    let Some(user) = found.filter(|_| is_right) else { return Ok(SignIn::Refused) };
    if user.totp {
        let Some(code) = &credentials.totp else {
            // Asking for the code is no guess at it.
            store.forgive_sign_in(&attempt).await?;
            return Ok(SignIn::CodeWanted);
        };
        if !take_code(store, &user, code).await? {
            return Ok(SignIn::CodeWanted);
        }
    }
    store.forgive_sign_in(&attempt).await?;
    let (token, session) = begin(store, &user, address).await?;
    Ok(SignIn::Done(token, session))
}

async fn begin(
    store: &Store,
    user: &UserRow,
    address: Option<IpAddr>,
) -> Result<(Zeroizing<String>, Session), Error> {
    let id = Some(*user.id.as_uuid());
    let actor = Actor { kind: ActorKind::User, id, name: user.email.clone(), address };
    let operator = Operator { store, actor, once: None };
    let (token, hash) = token::session(store.random());
    let session = Session {
        user_id: Some(user.id),
        api_key_id: None,
        name: user.email.clone(),
        role: user.role,
        totp: user.totp,
        expires_at: Some(Time(store.clock().unix_seconds() + SESSION_LIFE)),
    };
    let mut connection = operator.connect().await?;
    let change = operator.begin(&mut connection).await?;
    // Locked, so that no session begins under a password or a role that is being changed.
    let now = change.lock_user(user.id).await?;
    if now.is_none_or(|now| now.password_hash != user.password_hash || now.role != user.role) {
        return Err(Error::Conflict("the account has just been changed: sign in again".to_owned()));
    }
    let id = change.insert_session(user.id, &hash).await?;
    operator.finish(change, "session.create", id, States::made(&session)?).await?;
    Ok((token, session))
}

/// Signs whoever has this session out.
///
/// # Errors
/// When the database isn't available.
pub(crate) async fn sign_out(operator: &Operator<'_>, id: Uuid, session: &Session) -> Result<(), Error> {
    let mut connection = operator.connect().await?;
    let change = operator.begin(&mut connection).await?;
    change.delete_session(id).await?;
    operator.finish(change, "session.end", id, States::removed(session)?).await
}

/// Takes a code of the app's or a recovery code. Each is taken once.
async fn take_code(store: &Store, user: &UserRow, code: &str) -> Result<bool, Error> {
    if let Some(hash) = totp::recovery_hash(code) {
        return Ok(store.take_recovery_code(user.id, &hash).await?);
    }
    let Some(seed) = store.open_totp_secret(user).await? else { return Ok(false) };
    let step = totp::step_of(&seed, code.trim(), store.clock().unix_seconds());
    match step {
        Some(step) => Ok(store.take_totp_step(user.id, step).await?),
        None => Ok(false),
    }
}

/// Begins a second factor: a seed that a code has to confirm. One that is in force has to be removed first.
///
/// # Errors
/// When the password isn't the user's, or a second factor is in force.
pub(crate) async fn enrol(
    operator: &Operator<'_>,
    passwords: &Passwords,
    id: UserId,
    password: &PresentedPassword,
) -> Result<Enrolment, Error> {
    prove(operator, passwords, id, password).await?;
    let mut connection = operator.connect().await?;
    let change = operator.begin(&mut connection).await?;
    let before = change.lock_user(id).await?.ok_or_else(|| Error::not_found("user", &id))?;
    if before.totp {
        return Err(Error::Conflict("a second factor is in force: remove it first".to_owned()));
    }
    let seed = totp::seed(operator.store.random());
    let after = change.enrol_totp(id, &*seed).await?;
    let enrolment = totp::enrolment(&*seed, &after.email);
    let states = States::changed(&user::shown(before), &user::shown(after))?;
    operator.finish(change, "user.enrol_totp", id, states).await?;
    Ok(enrolment)
}

/// Puts the second factor into force, and makes the codes that stand in for it.
///
/// # Errors
/// When the code isn't right, or there is nothing to confirm.
pub(crate) async fn confirm(operator: &Operator<'_>, id: UserId, code: &str) -> Result<RecoveryCodes, Error> {
    let store = operator.store;
    let mut connection = operator.connect().await?;
    let change = operator.begin(&mut connection).await?;
    let before = change.lock_user(id).await?.ok_or_else(|| Error::not_found("user", &id))?;
    let seed = change.open_totp_secret(&before).await?.filter(|_| !before.totp);
    let Some(seed) = seed else {
        return Err(Error::Conflict("there is no second factor to confirm: enrol first".to_owned()));
    };
    if totp::step_of(&seed, code.trim(), store.clock().unix_seconds()).is_none() {
        return Err(Error::invalid("/totp", "is not the code that holds now"));
    }
    let (recovery_codes, hashes) = totp::recovery_codes(store.random());
    let after = change.confirm_totp(id, &hashes).await?;
    let states = States::changed(&user::shown(before), &user::shown(after))?;
    operator.finish(change, "user.confirm_totp", id, states).await?;
    Ok(RecoveryCodes { recovery_codes })
}

/// Ends the second factor.
///
/// # Errors
/// When the password isn't the user's, or the code isn't right.
pub(crate) async fn remove(
    operator: &Operator<'_>,
    passwords: &Passwords,
    id: UserId,
    password: &PresentedPassword,
    code: Option<&str>,
) -> Result<TotpEnabled, Error> {
    let user = prove(operator, passwords, id, password).await?;
    if user.totp && !take_code(operator.store, &user, code.unwrap_or_default()).await? {
        return Err(Error::invalid("/totp", "is not a code that holds now"));
    }
    let mut connection = operator.connect().await?;
    let change = operator.begin(&mut connection).await?;
    let before = change.lock_user(id).await?.ok_or_else(|| Error::not_found("user", &id))?;
    let after = change.remove_totp(id).await?;
    let states = States::changed(&user::shown(before), &user::shown(after))?;
    operator.finish(change, "user.remove_totp", id, states).await?;
    Ok(TotpEnabled { totp: false })
}

/// Whoever is signed in shows once more that he knows the password: a stolen session alone changes no second factor.
async fn prove(
    operator: &Operator<'_>,
    passwords: &Passwords,
    id: UserId,
    password: &PresentedPassword,
) -> Result<UserRow, Error> {
    let store = operator.store;
    let user = store.find_user(id).await?.ok_or_else(|| Error::not_found("user", &id))?;
    let attempt = attempt(&user.email, operator.actor.address);
    if let Some(seconds) = store.take_sign_in(&attempt).await? {
        return Err(Error::Wait(seconds.unsigned_abs()));
    }
    if !passwords.verify(password.text(), Some(&user.password_hash)).await? {
        return Err(Error::invalid("/password", "is not your password"));
    }
    store.forgive_sign_in(&attempt).await?;
    Ok(user)
}

fn attempt(email: &str, address: Option<IpAddr>) -> Attempt {
    let address = address.map(|address| address.to_string()).unwrap_or_default();
    let hash = |kind: &str, text: &str| Sha256::digest(format!("{kind}\n{text}")).into();
    Attempt { account: hash("account", email), address: hash("address", &address) }
}
