import java.awt.Font;
import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import javax.imageio.ImageIO;

public class Draw {
    public static void main(String[] arguments) throws Exception {
        BufferedImage image = new BufferedImage(200, 50, BufferedImage.TYPE_INT_RGB);
        Graphics2D graphics = image.createGraphics();
        graphics.setFont(new Font("SansSerif", Font.PLAIN, 20));
        graphics.drawString("text", 10, 30);
        int drawn = 0;
        for (int x = 0; x < 200; x++) {
            for (int y = 0; y < 50; y++) {
                drawn += (image.getRGB(x, y) & 0xffffff) != 0 ? 1 : 0;
            }
        }
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        ImageIO.write(image, "png", out);
        System.out.println(drawn > 50 && out.size() > 100 ? "drew text into a PNG" : "drew nothing");
    }
}
