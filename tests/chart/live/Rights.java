import java.util.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.common.acl.*;
import org.apache.kafka.common.resource.*;

/** Gives users rights: lines "USER TYPE NAME PATTERN OPERATION" on standard input, as Strimzi's user operator would. */
public class Rights {
    public static void main(String[] args) throws Exception {
        var properties = new Properties();
        properties.load(new java.io.FileReader(args[0]));
        var patterns = Map.of("literal", PatternType.LITERAL, "prefix", PatternType.PREFIXED);
        var types = Map.of("topic", ResourceType.TOPIC, "group", ResourceType.GROUP, "transactionalId", ResourceType.TRANSACTIONAL_ID);
        var rights = new ArrayList<AclBinding>();
        for (var line : (Iterable<String>) new java.io.BufferedReader(new java.io.InputStreamReader(System.in)).lines()::iterator) {
            var word = line.split(" ");
            var entry = new AccessControlEntry("User:" + word[0], "*", AclOperation.valueOf(word[4].toUpperCase()), AclPermissionType.ALLOW);
            rights.add(new AclBinding(new ResourcePattern(types.get(word[1]), word[2], patterns.get(word[3])), entry));
        }
        try (var admin = Admin.create(properties)) {
            admin.createAcls(rights).all().get();
        }
        System.out.println(rights.size() + " rights");
    }
}
