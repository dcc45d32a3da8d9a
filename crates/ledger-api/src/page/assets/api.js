// The public HTTP interface of the same build. The token is a variable of this module: it is in no storage, and gone
// with the tab. Answers are kept out of the browser's cache.

import { query } from "./route.js";

let token = "";
let askForToken = () => {};

export class Problem extends Error {
	constructor(status, body) {
		super(body.detail ?? body.title ?? `the server answered ${status}`);
		this.status = status;
		this.code = body.code ?? "unknown";
	}
}

export function setToken(given) {
	token = given;
}

export function hasToken() {
	return token !== "";
}

export function onUnauthorized(run) {
	askForToken = run;
}

// path`/v1/tenants/${key}`: each value becomes one segment.
export function path(texts, ...values) {
	return texts.reduce((whole, text, at) => whole + encodeURIComponent(values[at - 1]) + text);
}

async function send(path, parameters, { accept = "application/json", body, signal } = {}) {
	const headers = { Accept: accept };
	const used = token;
	if (used) headers.Authorization = `Bearer ${used}`;
	if (body !== undefined) headers["Content-Type"] = "application/json";
	const response = await fetch(path + query(parameters), {
		headers, signal, cache: "no-store", credentials: "omit", redirect: "error", referrerPolicy: "no-referrer",
		method: body === undefined ? "GET" : "POST",
		body: body === undefined ? undefined : JSON.stringify(body),
	});
	// Of questions that were asked at once, the first that is refused asks.
	if (response.status === 401 && used === token) askForToken(used !== "");
	return response;
}

// `anyway`: the route answers with the same document whether it is well or not.
export async function ask(path, parameters, options) {
	const response = await send(path, parameters, options);
	if (!response.ok && !options?.anyway) throw new Problem(response.status, await response.json().catch(() => ({})));
	return options?.accept ? response : response.json();
}

// Objects of an NDJSON stream, in chunks as they come. The last line tells whether the stream is whole.
export async function* lines(path, parameters, options) {
	const response = await ask(path, parameters, { accept: "application/x-ndjson", ...options });
	const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
	let rest = "", whole = false;
	for (;;) {
		const { value, done } = await reader.read();
		if (done) break;
		const parts = (rest + value).split("\n");
		rest = parts.pop();
		const objects = parts.filter((line) => line !== "").map((line) => JSON.parse(line));
		const failed = objects.find((object) => object.problem);
		if (failed) throw new Problem(failed.problem.status ?? 500, failed.problem);
		whole ||= objects.some((object) => object.freshness && !object.seq);
		if (objects.length) yield objects;
	}
	if (!whole) throw new Problem(502, { code: "cut-off", detail: "the stream was cut off before its end: what is shown is not all" });
}

// Rows of a list from a cursor on, about `most`: a page can be empty and not the last.
export async function pages(path, parameters, rows, most) {
	const all = [], refused = [];
	let { cursor } = parameters, answer;
	do {
		answer = await ask(path, { ...parameters, cursor, limit: Math.min(1000, most - all.length) });
		all.push(...rows(answer));
		refused.push(...(answer.refused ?? []));
		cursor = answer.nextCursor;
	} while (cursor && all.length < most);
	return { rows: all, refused, cursor, answer };
}
