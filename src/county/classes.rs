//! Land classes the county uses, of the Third National Land Survey (TD/T 1055-2019).

/// Farmland and the like, built land, or neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    Agricultural,
    Construction,
    Unused,
}

macro_rules! classes {
    ($($variant:ident $code:literal $name:literal $group:ident [$r:literal $g:literal $b:literal $n:literal] $texture:literal;)*) => {
        /// A land class; the number is its place in the label of a cell.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Class { $($variant),* }
        impl Class {
            pub const ALL: &[Class] = &[$(Class::$variant),*];
            /// DLBM.
            pub fn code(self) -> &'static str { match self { $(Class::$variant => $code),* } }
            /// DLMC.
            pub fn name(self) -> &'static str { match self { $(Class::$variant => $name),* } }
            pub fn group(self) -> Group { match self { $(Class::$variant => Group::$group),* } }
            /// Red, green, blue, near infrared as seen from the air, 0..255.
            pub fn reflectance(self) -> [f64; 4] { match self { $(Class::$variant => [$r as f64, $g as f64, $b as f64, $n as f64]),* } }
            /// How strongly brightness varies from place to place, 0..1.
            pub fn texture(self) -> f64 { match self { $(Class::$variant => $texture),* } }
        }
    };
}

classes! {
    Paddy "0101" "水田" Agricultural [104 122 78 150] 0.10;
    Irrigated "0102" "水浇地" Agricultural [132 132 88 158] 0.12;
    Dry "0103" "旱地" Agricultural [152 138 102 140] 0.16;
    Orchard "0201" "果园" Agricultural [96 112 66 168] 0.30;
    Tea "0202" "茶园" Agricultural [84 108 64 172] 0.18;
    Woods "0301" "乔木林地" Agricultural [52 74 44 150] 0.42;
    Bamboo "0302" "竹林地" Agricultural [74 98 54 170] 0.30;
    Scrub "0305" "灌木林地" Agricultural [82 96 62 140] 0.34;
    OtherWoods "0307" "其他林地" Agricultural [70 88 54 150] 0.38;
    Grass "0404" "其他草地" Agricultural [122 122 82 142] 0.20;
    Shops "05H1" "商业服务业设施用地" Construction [158 152 148 120] 0.55;
    Storage "0508" "物流仓储用地" Construction [168 170 176 118] 0.40;
    Factory "0601" "工业用地" Construction [160 168 182 116] 0.45;
    Quarry "0602" "采矿用地" Construction [188 178 160 150] 0.30;
    TownHousing "0701" "城镇住宅用地" Construction [146 136 128 124] 0.60;
    Homestead "0702" "农村宅基地" Construction [140 122 110 128] 0.60;
    Offices "08H1" "机关团体新闻出版用地" Construction [150 146 138 126] 0.50;
    Schools "08H2" "科教文卫用地" Construction [146 140 128 132] 0.50;
    Utilities "0809" "公用设施用地" Construction [150 148 144 122] 0.40;
    Park "0810" "公园与绿地" Construction [86 108 66 160] 0.30;
    Railway "1001" "铁路用地" Construction [120 114 108 110] 0.20;
    Road "1003" "公路用地" Construction [150 148 144 118] 0.08;
    Street "1004" "城镇村道路用地" Construction [142 140 136 116] 0.12;
    Lane "1006" "农村道路" Agricultural [164 156 138 130] 0.10;
    River "1101" "河流水面" Unused [70 88 84 34] 0.06;
    Reservoir "1103" "水库水面" Agricultural [48 72 76 24] 0.04;
    Pond "1104" "坑塘水面" Agricultural [66 84 76 32] 0.06;
    Ditch "1107" "沟渠" Agricultural [92 104 82 84] 0.10;
    Dam "1109" "水工建筑用地" Construction [172 168 158 120] 0.10;
    Vacant "1201" "空闲地" Construction [166 152 130 138] 0.20;
    FarmYard "1202" "设施农用地" Agricultural [186 190 194 140] 0.35;
    Bare "1207" "裸岩石砾地" Unused [168 162 152 140] 0.25;
}

impl Class {
    pub fn from_index(index: u32) -> Class {
        Class::ALL[(index as usize).min(Class::ALL.len() - 1)]
    }

    pub fn is_cultivated(self) -> bool {
        matches!(self, Class::Paddy | Class::Irrigated | Class::Dry)
    }

    pub fn is_forest(self) -> bool {
        matches!(
            self,
            Class::Woods | Class::Bamboo | Class::Scrub | Class::OtherWoods
        )
    }

    /// Lines that own their strip of ground.
    pub fn is_linear(self) -> bool {
        matches!(
            self,
            Class::Railway
                | Class::Road
                | Class::Lane
                | Class::Ditch
                | Class::River
                | Class::Street
        )
    }
}
