//! How an operator gets in.

use std::sync::Arc;

use http::header::SET_COOKIE;
use serde_json::json;

use super::World;

pub(super) async fn an_operator_signs_in_and_his_cookie_opens_what_his_role_may(world: Arc<World>) {
    let account =
        world.site.operate(&["user", "add", "--email", "ann@example.com", "--role", "viewer"]).await;
    let sign_in = json!({ "email": "ann@example.com", "password": account["password"] }).to_string();
    let headers = [("content-type", "application/json"), ("x-requested-with", "qubictether")];
    let admin = &world.bases.admin;
    let answer = admin.call("POST", "/v1/admin/session", &headers, sign_in.as_bytes()).await;
    assert_eq!((answer.status, &answer.json()["role"]), (201, &json!("viewer")));
    let cookies: Vec<_> = answer.headers.get_all(SET_COOKIE).iter().collect();
    let [cookie] = cookies[..] else { panic!("a cookie and no other: {cookies:?}") };
    let cookie = cookie.to_str().unwrap().split(';').next().unwrap();

    let with = async |method: &str, path: &str, headers: &[(&str, &str)]| {
        let headers = [headers, &[("cookie", cookie), ("content-type", "application/json")]].concat();
        admin.call(method, path, &headers, if method == "POST" { b"{}" } else { b"" }).await.status
    };
    let requested = [("x-requested-with", "qubictether")];
    assert_eq!(with("GET", "/v1/admin/licenses", &[]).await, 200);
    assert_eq!(with("POST", "/v1/admin/licenses", &requested).await, 403, "a viewer changes nothing");
    assert_eq!(with("GET", "/v1/admin/users", &[]).await, 403);
    assert_eq!(with("DELETE", "/v1/admin/session", &[]).await, 403, "another page can't sign him out");
    assert_eq!(with("DELETE", "/v1/admin/session", &requested).await, 204);
    assert_eq!(with("GET", "/v1/admin/licenses", &[]).await, 401);
}
