// Files that are dropped onto the window: as the system hands them over.

#include "gui/support/driver.h"

#include "data/npy_writer.h"
#include "data/planted.h"

#include <filesystem>
#include <fstream>
#include <utility>

namespace convscope {
namespace {

class Files : public ThroughWindow {
 protected:
  void SetUp() override {
    ThroughWindow::SetUp();
    folder_ = std::filesystem::path(testing::TempDir()) / "convscope_window_files";
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override {
    ThroughWindow::TearDown();
    std::filesystem::remove_all(folder_);
  }

  /// q.npy, k.npy and v.npy of a planted head.
  std::vector<std::string> write_head(convbasis::Index n) {
    const auto planted = convbasis::make_planted<float>({.n = n, .d = 8, .k = 2, .T = 4});
    std::vector<std::string> paths;
    const auto write = [&](const char* name, const auto& matrix) {
      paths.push_back((folder_ / name).string());
      convbasis::write_npy<float>(paths.back(), convbasis::view(matrix));
    };
    write("q.npy", planted.head.query);
    write("k.npy", planted.head.key);
    write("v.npy", planted.head.value);
    return paths;
  }

  std::filesystem::path folder_;
};

TEST_F(Files, DroppedTogetherAreOneHead) {
  const std::vector<std::string> paths = write_head(96);
  drive([&](Hand& hand) {
    drop(paths);
    settle(hand);
    ASSERT_FALSE(session().failure()) << session().failure()->text;
    EXPECT_EQ(analysis().n, 96);
    EXPECT_EQ(session().result().request.source, session().source()->id());
    const Picture picture = look(hand);
    EXPECT_GT(distinct_colours(picture, rectangle("###exact")), 200U);
  });
}

TEST_F(Files, WrongOneIsExplainedAndTheOldOneStays) {
  const auto broken = folder_ / "broken.safetensors";
  std::ofstream(broken) << "this is no tensor file";
  drive([&](Hand& hand) {
    const auto before = session().result().analysis;
    const Picture calm = look(hand);
    drop({broken.string()});
    settle(hand);
    ASSERT_TRUE(session().failure());
    EXPECT_EQ(session().failure()->kind, Failure::Kind::file);
    EXPECT_THAT(session().failure()->text, testing::HasSubstr("broken.safetensors"));
    EXPECT_EQ(session().result().analysis, before);
    EXPECT_NE(look(hand).rgb, calm.rgb) << "the message is not seen";
    // A good one after it makes the message go.
    drop(write_head(64));
    settle(hand);
    EXPECT_FALSE(session().failure());
    EXPECT_EQ(analysis().n, 64);
  });
}

TEST_F(Files, NamesThatSayNothingAreSettledInTheDialog) {
  const auto planted = convbasis::make_planted<float>({.n = 80, .d = 8, .k = 2, .T = 4});
  std::vector<std::string> paths;
  for (const auto& [name, matrix] :
       {std::pair{"alpha", &planted.head.query}, {"beta", &planted.head.key}, {"gamma", &planted.head.value}}) {
    paths.push_back((folder_ / (std::string(name) + ".npy")).string());
    convbasis::write_npy<float>(paths.back(), convbasis::view(*matrix));
  }
  drive([&](Hand& hand) {
    drop(paths);
    settle(hand);
    ASSERT_TRUE(session().refused());
    hand.ItemClick("##message/failure/Tensors…");
    settle(hand);
    const std::string dialog = std::string("//") + TensorRolesDialog::window_name;
    const auto pick = [&](const char* role, int row) {
      hand.SetRef(dialog.c_str());
      hand.ItemClick((std::string("choices/") + role).c_str());
      hand.ItemClick(("//$FOCUSED/$$" + std::to_string(row) + "/###choice").c_str());
      settle(hand);
    };
    pick("Query", 0);
    EXPECT_TRUE(app_->roles().listing()->layers.empty());
    pick("Key", 1);
    pick("Value", 2);
    EXPECT_EQ(finding_text(*app_->roles().listing()), "1 layer, heads 1, kv heads 1, n 80, d 8, query and key");
    hand.SetRef(dialog.c_str());
    hand.ItemClick("Apply");
    settle(hand);
    ASSERT_FALSE(session().failure()) << session().failure()->text;
    EXPECT_EQ(analysis().n, 80);
    EXPECT_EQ(session().source()->layers().front().key, "beta");
    // Back to the automatic, which finds nothing, cannot be applied.
    hand.KeyPress(ImGuiMod_Ctrl | ImGuiKey_T);
    settle(hand);
    hand.SetRef(dialog.c_str());
    hand.ItemClick("Reset");
    settle(hand);
    EXPECT_NE(app_->roles().listing()->why_not, "");
    hand.ItemClick("Cancel");
    EXPECT_EQ(analysis().n, 80);
  });
}

TEST_F(Files, FolderIsExplainedToo) {
  drive([&](Hand& hand) {
    drop({folder_.string()});
    settle(hand);
    ASSERT_TRUE(session().failure());
    EXPECT_THAT(session().failure()->text, testing::HasSubstr("convscope_window_files"));
    ASSERT_TRUE(session().source());
  });
}

}  // namespace
}  // namespace convscope
