// An app behind the gateway: Atlassian's starter for Spring Boot with its own verification on, and Nimbus for calls of Forge.
// Arguments: its base URL, its app key, its Forge app id, the key server of installs, the JWKS of Forge; and, where it is
// to send copies of its hooks, the URL of a realm at a gateway and a token for that.
// Writes its address, then each call that it took or refused, as one JSON object a line.
package app;

import com.atlassian.connect.spring.AtlassianHostRepository;
import com.atlassian.connect.spring.AtlassianHostUser;
import com.atlassian.connect.spring.IgnoreJwt;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.jwk.source.RemoteJWKSet;
import com.nimbusds.jose.proc.JWSVerificationKeySelector;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.proc.DefaultJWTClaimsVerifier;
import com.nimbusds.jwt.proc.DefaultJWTProcessor;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.net.URI;
import java.net.URL;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import javax.servlet.FilterChain;
import javax.servlet.ServletException;
import javax.servlet.http.HttpServletRequest;
import javax.servlet.http.HttpServletResponse;
import org.springframework.boot.SpringBootConfiguration;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.boot.web.servlet.FilterRegistrationBean;
import org.springframework.boot.web.servlet.context.ServletWebServerApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Import;
import org.springframework.core.Ordered;
import org.springframework.core.env.Environment;
import org.springframework.data.map.repository.config.EnableMapRepositories;
import org.springframework.http.ResponseEntity;
import org.springframework.security.core.annotation.AuthenticationPrincipal;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RequestHeader;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.filter.OncePerRequestFilter;
import org.springframework.web.util.ContentCachingRequestWrapper;

@SpringBootConfiguration
@EnableAutoConfiguration
@EnableMapRepositories(basePackageClasses = AtlassianHostRepository.class)
@Import(App.Hooks.class)
public class App {
    static final PrintStream OUT = new PrintStream(new FileOutputStream(FileDescriptor.out), true);
    static final ObjectMapper JSON = new ObjectMapper();

    static synchronized void say(Object line) throws IOException {
        OUT.println(JSON.writeValueAsString(line));
    }

    public static void main(String[] args) throws Exception {
        // `/installed` and `/uninstalled` are the starter's; the descriptor has to say so and to be on the class path.
        Map<String, Object> descriptor = Map.of(
            "key", args[1], "baseUrl", args[0], "authentication", Map.of("type", "jwt"),
            "lifecycle", Map.of("installed", "/installed", "uninstalled", "/uninstalled", "enabled", "/enabled", "disabled", "/disabled"),
            "apiMigrations", Map.of("signed-install", true));
        Path classes = Path.of(App.class.getProtectionDomain().getCodeSource().getLocation().toURI());
        Files.writeString(classes.resolve("atlassian-connect.json"), JSON.writeValueAsString(descriptor));
        var context = (ServletWebServerApplicationContext) new SpringApplicationBuilder(App.class).properties(Map.of(
            "server.port", "0", "server.address", "127.0.0.1", "spring.main.banner-mode", "off", "logging.level.root", "error",
            "forge.app", args[2], "forge.jwks", args[4], "gateway", args.length > 5 ? args[5] + " " + args[6] : "",
            "atlassian.connect.public-key-base-url", args[3],
            "atlassian.connect.allow-reinstall-missing-host", "false",
            "atlassian.connect.allow-symmetric-auth-install-callback", "false")).run();
        say(Map.of("url", "http://127.0.0.1:" + context.getWebServer().getPort()));
        while (System.in.read() >= 0) {}
        System.exit(0);
    }

    /** Tells of every call, whoever answers it. */
    @Bean
    FilterRegistrationBean<OncePerRequestFilter> teller() {
        var teller = new FilterRegistrationBean<OncePerRequestFilter>(new OncePerRequestFilter() {
            @Override
            protected void doFilterInternal(HttpServletRequest raw, HttpServletResponse response, FilterChain chain)
                throws ServletException, IOException {
                var request = new ContentCachingRequestWrapper(raw);
                try {
                    chain.doFilter(request, response);
                } finally {
                    Map<String, String> headers = new LinkedHashMap<>();
                    for (String name : Collections.list(request.getHeaderNames())) headers.put(name.toLowerCase(), request.getHeader(name));
                    String query = request.getQueryString() == null ? "" : "?" + request.getQueryString();
                    String body = new String(request.getContentAsByteArray(), StandardCharsets.UTF_8);
                    say(Map.of("method", request.getMethod(), "url", request.getRequestURI() + query, "headers", headers,
                        "body", body, "status", response.getStatus()));
                }
            }
        });
        teller.setName("teller");
        teller.setOrder(Ordered.HIGHEST_PRECEDENCE);
        return teller;
    }

    static final Map<String, String> HOOKS = Map.of("/installed", "connect/installed",
        "/uninstalled", "connect/uninstalled", "/enabled", "connect/enabled");

    /** What the app took goes on to the gateway, headers and all. */
    @Bean
    FilterRegistrationBean<OncePerRequestFilter> copies(Environment settings) {
        String[] gateway = settings.getRequiredProperty("gateway").split(" ");
        HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        var copies = new FilterRegistrationBean<OncePerRequestFilter>(new OncePerRequestFilter() {
            @Override
            protected boolean shouldNotFilter(HttpServletRequest request) {
                return gateway.length < 2 || !HOOKS.containsKey(request.getRequestURI());
            }

            @Override
            protected void doFilterInternal(HttpServletRequest raw, HttpServletResponse response, FilterChain chain)
                throws ServletException, IOException {
                var request = new ContentCachingRequestWrapper(raw);
                chain.doFilter(request, response);
                if (response.getStatus() > 299) return;
                // What the handler has not read.
                request.getInputStream().readAllBytes();
                var copy = HttpRequest.newBuilder(URI.create(gateway[0] + "/" + HOOKS.get(raw.getRequestURI())))
                    .header("Authorization", raw.getHeader("Authorization"))
                    .header("X-Realm-Ledger-Token", gateway[1])
                    .POST(BodyPublishers.ofByteArray(request.getContentAsByteArray())).build();
                client.sendAsync(copy, BodyHandlers.discarding());
            }
        });
        copies.setName("copies");
        copies.setOrder(Ordered.HIGHEST_PRECEDENCE + 1);
        return copies;
    }

    @Bean
    DefaultJWTProcessor<SecurityContext> forge(Environment settings) throws IOException {
        var processor = new DefaultJWTProcessor<SecurityContext>();
        var keys = new RemoteJWKSet<SecurityContext>(new URL(settings.getRequiredProperty("forge.jwks")));
        processor.setJWSKeySelector(new JWSVerificationKeySelector<>(JWSAlgorithm.RS256, keys));
        var expected = new JWTClaimsSet.Builder().issuer("forge/invocation-token").build();
        processor.setJWTClaimsSetVerifier(
            new DefaultJWTClaimsVerifier<>(settings.getRequiredProperty("forge.app"), expected, Set.of("exp")));
        return processor;
    }

    @RestController
    static class Hooks {
        private final DefaultJWTProcessor<SecurityContext> forge;

        Hooks(DefaultJWTProcessor<SecurityContext> forge) {
            this.forge = forge;
        }

        /** Whether Forge sent it. */
        private boolean isOfForge(String authorization) {
            if (authorization == null || !authorization.startsWith("Bearer ")) return false;
            try {
                forge.process(authorization.substring("Bearer ".length()), null);
                return true;
            } catch (Exception refused) {
                return false;
            }
        }

        // The starter lets nobody here whose token it did not verify.
        @PostMapping({"/enabled", "/disabled"})
        ResponseEntity<Void> lifecycle() {
            return ResponseEntity.noContent().build();
        }

        @IgnoreJwt
        @GetMapping("/migration/status")
        ResponseEntity<?> status(@AuthenticationPrincipal AtlassianHostUser connect,
            @RequestHeader(name = "authorization", required = false) String authorization) {
            if (connect == null && !isOfForge(authorization)) return ResponseEntity.status(401).build();
            return ResponseEntity.ok().header("x-app", "kept").body(Map.of("status", "ready-to-commit"));
        }

        @IgnoreJwt
        @PostMapping("/migration/{step}")
        ResponseEntity<?> step(@PathVariable String step, @RequestBody Map<String, Object> body,
            @AuthenticationPrincipal AtlassianHostUser connect,
            @RequestHeader(name = "authorization", required = false) String authorization) {
            if (connect == null && !isOfForge(authorization)) return ResponseEntity.status(401).build();
            boolean isRefused = Integer.valueOf(13).equals(body.get("migrationId"));
            return isRefused ? ResponseEntity.status(409).body(Map.of("errorResponseCode", "E0004"))
                : ResponseEntity.ok(Map.of("done", step));
        }

        @IgnoreJwt
        @PostMapping("/forge")
        ResponseEntity<String> event(@RequestBody String body, @RequestHeader(name = "authorization", required = false) String authorization) {
            if (!isOfForge(authorization)) return ResponseEntity.status(401).build();
            return ResponseEntity.accepted().header("x-app", "kept").body("taken");
        }
    }
}
