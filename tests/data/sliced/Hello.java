import java.nio.file.Files;
import java.security.KeyStore;
import java.util.stream.IntStream;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;

public class Hello {
    public static void main(String[] arguments) throws Exception {
        TrustManagerFactory factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        factory.init((KeyStore) null);
        int count = ((X509TrustManager) factory.getTrustManagers()[0]).getAcceptedIssuers().length;
        Files.writeString(Files.createTempFile("a", "b"), "text");
        System.out.println("hello from Java, " + count + " certificates, " + IntStream.of(40, 2).sum());
    }
}
