// Where the page is: the fragment of the URL, "#/tenant/acme?at=…". A fragment never leaves the browser, so no client key
// is in a server's log because someone looked at a page; and every view can be bookmarked.

export function query(parameters) {
	const given = Object.entries(parameters ?? {}).filter(([, value]) => (value ?? "") !== "");
	return given.length ? `?${new URLSearchParams(given)}` : "";
}

export function href(segments, parameters) {
	return `#/${segments.map(encodeURIComponent).join("/")}${query(parameters)}`;
}

export function current() {
	const [path, query] = location.hash.replace(/^#\/?/, "").split("?", 2);
	let segments;
	try { segments = path.split("/").filter((part) => part !== "").map(decodeURIComponent); } catch { segments = ["unknown"]; }
	return { segments, parameters: Object.fromEntries(new URLSearchParams(query ?? "")) };
}

// Sets parameters without a new view, and without a step in the history.
export function keep(changes) {
	const { segments, parameters } = current();
	history.replaceState(null, "", href(segments, { ...parameters, ...changes }));
}

export function go(segments, parameters) {
	location.hash = href(segments, parameters);
}

export function tenantHref(client, parameters) {
	return href(["tenant", client], parameters);
}

export function recordHref(client, seq, parameters) {
	return href(["tenant", client, "record", seq], parameters);
}
