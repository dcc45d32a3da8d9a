use std::env;
use std::error::Error;
use std::io::{BufRead as _, BufReader};

use serde_json::Value;

type Answered<T> = Result<T, Box<dyn Error>>;

/// The answer in this form.
fn ask(path: &str, form: &str) -> Answered<ureq::Body> {
    let request = ureq::get(format!("{}{path}", env::var("U")?)).header("accept", form);
    let token = format!("Bearer {}", env::var("TOKEN")?);
    Ok(request.header("authorization", token).call()?.into_body())
}

fn ask_json(path: &str) -> Answered<Value> {
    Ok(serde_json::from_reader(ask(path, "application/json")?.into_reader())?)
}

fn where_was_it() -> Answered<()> {
    let app = "/v1/tenants/acme.atlassian.net/apps/com.example.notes";
    let decision = &ask_json(&format!("{app}/preview?productRealm=US"))?["decision"];
    println!("{} {}", decision["rule"], decision["expectedRealm"]);
    Ok(())
}

fn search() -> Answered<()> {
    let found = ask_json("/v1/search?q=acme.atl")?;
    for tenant in found["tenants"].as_array().into_iter().flatten() {
        println!("{}", tenant["clientKey"]);
    }
    Ok(())
}

fn timeline() -> Answered<()> {
    let log = ask_json("/v1/tenants/acme.atlassian.net/log")?;
    for record in log["records"].as_array().into_iter().flatten() {
        println!("{} {} {}", record["seq"], record["event"]["time"], record["event"]["type"]);
    }
    Ok(())
}

fn refused() -> Answered<()> {
    let refused = ask_json("/v1/quarantine?limit=10")?;
    for item in refused["items"].as_array().into_iter().flatten() {
        println!("{} {} {}", item["seq"], item["reason"], item["detail"]);
    }
    Ok(())
}

fn retry() -> Answered<()> {
    let request = ureq::post(format!("{}/v1/quarantine/realm.lifecycle/0/1/retry", env::var("U")?));
    let request = request.header("authorization", format!("Bearer {}", env::var("TOKEN")?));
    let mut became = request.content_type("application/json").send("{}")?;
    let became: Value = serde_json::from_reader(became.body_mut().as_reader())?;
    println!("{} {}", became["id"], became["records"][0]["topic"]);
    Ok(())
}

fn migrations() -> Answered<()> {
    let pending = ask_json("/v1/migrations?overdue=true")?;
    for found in pending["installations"].as_array().into_iter().flatten() {
        println!("{} to {}", found["clientKey"], found["migration"]["targetRealm"]);
    }
    Ok(())
}

fn lineage() -> Answered<()> {
    for proposal in ask_json("/v1/lineage")?["proposals"].as_array().into_iter().flatten() {
        println!("{} goes on as {}", proposal["from"]["clientKey"], proposal["to"]["clientKey"]);
    }
    Ok(())
}

fn proof() -> Answered<()> {
    let mut bundle = ask("/v1/tenants/acme.atlassian.net/proof", "application/x-ndjson")?;
    let bundle = bundle.read_to_string()?;
    println!("{}", bundle.lines().next().unwrap_or_default());
    std::fs::write("acme.bundle", bundle)?;
    Ok(())
}

fn follow() -> Answered<()> {
    let path = "/v1/decisions?from=begin&app=com.example.notes&limit=1";
    for line in BufReader::new(ask(path, "application/x-ndjson")?.into_reader()).lines() {
        let line: Value = serde_json::from_str(&line?)?;
        match line.get("cursor") {
            Some(cursor) => println!("go on behind {cursor}"),
            None => println!("{} {}", line["data"]["clientKey"], line["data"]["decision"]["rule"]),
        }
    }
    Ok(())
}

fn back_up() -> Answered<()> {
    let order = ureq::post(format!("{}/v1/backups", env::var("U")?));
    let order = order.header("authorization", format!("Bearer {}", env::var("TOKEN")?));
    let lines = order.content_type("application/json").send(r#"{"keep": 7}"#)?.body_mut().read_to_string()?;
    println!("{}", lines.lines().last().unwrap_or_default());
    Ok(())
}

fn submit() -> Answered<()> {
    let order = r#"{"id": "case-4715", "type": "product-moved", "time": "2026-11-05T10:00:00Z",
                    "clientKey": "acme.atlassian.net", "productRealm": "EU"}"#;
    let request = ureq::post(format!("{}/v1/commands", env::var("U")?)).content_type("application/json");
    let request = request.header("authorization", format!("Bearer {}", env::var("TOKEN")?));
    let became: Value = serde_json::from_reader(request.send(order)?.body_mut().as_reader())?;
    println!("{} {}", became["id"], became["records"][0]["topic"]);
    Ok(())
}
